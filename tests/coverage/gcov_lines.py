"""How often each line of a source ran, as gcov counted it (builds with OCHRE_COVERAGE, gcc)."""

import json
import subprocess


def read(build, source):
    """{line: [times run, function]} over all objects made of `source` ("storage/wal_read.c")."""
    lines = {}
    for note in build.rglob(source.split("/")[-1] + ".gcno"):
        report = subprocess.run(
            ["gcov", "--json-format", "--stdout", str(note)], check=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        for file in json.loads(report)["files"]:
            if not file["file"].endswith("/src/" + source):
                continue
            for line in file["lines"]:
                known = lines.setdefault(line["line_number"], [0, line.get("function_name", "")])
                known[0] += line["count"]
    return lines
