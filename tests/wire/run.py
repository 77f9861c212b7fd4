#!/usr/bin/env python3
"""Replay the recorded exchanges against a fresh server: as recorded, renamed, and ours.

    run.py build/release/ochre [--only recorded|renamed|ours]

Each part gets a new server on a free port with an empty directory.  `recorded`
judges every step that a compatible server must answer alike, `renamed` the same
steps as rename.py says them, `ours` the answers in which we differ on purpose
(ours.py; docs/compatibility.md lists them).  Exit status 0 when every step
matched.  Standard library only.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "support"))
import ours  # noqa: E402
import rename  # noqa: E402
import server  # noqa: E402

# The groups whose features exist; search, unsupported and v1 join them with theirs.
GROUPS = ("system,tenants,databases,collections,collection-ids,configuration,schema,records,get,"
          "query,where,where_document,base64,http,example")
SKIPPED_TAGS = "quirk,unsupported-in-reference,docs"


def replay(binary, transcripts, options):
    with tempfile.TemporaryDirectory(prefix="ochre-wire-") as scratch:
        with server.Server(binary, os.path.join(scratch, "data")) as ochre:
            status = subprocess.run([sys.executable, HERE / "replay.py", "--base", ochre.base,
                                     *options, transcripts], check=False).returncode
        if ochre.exit_status != 0:
            print(f"the server ended with status {ochre.exit_status}")
            print(ochre.log_tail())
            return 1
        return status


def write(path, transcripts):
    with open(path, "w", encoding="utf-8") as out:
        for transcript in transcripts:
            print(json.dumps(transcript, ensure_ascii=False), file=out)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--only", choices=("recorded", "renamed", "ours"))
    args = parser.parse_args()

    must_match = ["--group", GROUPS, "--skip-tags", SKIPPED_TAGS]
    failed = []
    with tempfile.TemporaryDirectory(prefix="ochre-wire-") as scratch:
        recorded = HERE / "transcripts.jsonl"
        with open(recorded, encoding="utf-8") as lines:
            renamed = write(pathlib.Path(scratch) / "renamed.jsonl",
                            (rename.rename(json.loads(line)) for line in lines))
        different = write(pathlib.Path(scratch) / "ours.jsonl", ours.transcripts())
        parts = {"recorded": (recorded, must_match),
                 "renamed": (renamed, must_match),
                 "ours": (different, [])}
        for name, (transcripts, options) in parts.items():
            if args.only in (None, name):
                print(f"-- {name}", flush=True)
                if replay(args.binary, transcripts, options) != 0:
                    failed.append(name)
    print("wire: " + ("failed: " + ", ".join(failed) if failed else "all parts match"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
