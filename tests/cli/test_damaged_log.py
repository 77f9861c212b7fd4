#!/usr/bin/env python3
"""A log that somebody cut, with the real program: test_damaged_log.py build/release/ochre

Standard library only.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import server  # noqa: E402

OCHRE = ""
DATABASE = "/api/v2/tenants/default_tenant/databases/default_database"


def ochre(*arguments):
    return subprocess.run([OCHRE, *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, check=False)


def call(running, method, path, body=None):
    """The status, and what was answered."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(running.base + path, data,
                                     {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


class DamagedLog(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ochre-damaged-log-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.data = self.scratch / "data"
        self.ids = {}

    def add(self, running, name, turn):
        return call(running, "POST", f"{DATABASE}/collections/{self.ids[name]}/add",
                    {"ids": [f"id-{turn}"], "embeddings": [[turn, 1]],
                     "documents": [f"turn {turn} of {name} " + "x" * 5000]})[0]

    def count(self, running, name):
        return call(running, "GET", f"{DATABASE}/collections/{self.ids[name]}/count")

    def cut(self, text):
        """Before the record that has this."""
        for path in sorted((self.data / "log").glob("*.log")):
            at = path.read_bytes().find(text)
            if at >= 0:
                os.truncate(path, at)
                return path
        self.fail(f"{text} is not in the log")

    def make(self):
        """All rest but one, which goes on until the server is killed; then the log is cut."""
        with server.Server(OCHRE, self.data) as running:
            for name in ("first", "second", "third"):
                self.ids[name] = call(running, "POST", DATABASE + "/collections",
                                      {"name": name})[1]["id"]
                for turn in range(10):
                    self.assertEqual(self.add(running, name, turn), 201)
            running.restart(kill=False)
            for turn in range(10, 14):
                self.assertEqual(self.add(running, "third", turn), 201)
            time.sleep(2)  # until the log says that they were durable
            running.kill()
        self.cut(b"turn 12 of third")

    def test_who_misses_records_says_so_and_the_others_go_on(self):
        self.make()
        found = ochre("check", self.data)
        self.assertEqual((found.returncode, "is missing or damaged" in found.stdout), (1, True))
        options = ["--backup-dir", str(self.scratch / "backup")]
        with server.Server(OCHRE, self.data, options) as running:
            for _ in range(2):
                status, answer = self.count(running, "third")
                self.assertEqual((status, answer["error"]), (500, "InternalError"))
                self.assertIn("records of the collection may be missing", answer["message"])
                self.assertIn("ochre repair", answer["message"])
                self.assertEqual(self.add(running, "third", 50), 500)
                self.assertEqual(self.count(running, "first"), (200, 10))
                running.restart(kill=True)
            self.assertEqual(self.add(running, "second", 50), 201)
            status, answer = call(running, "POST", "/ochre/v1/backup", {})
            self.assertEqual((status, "was not copied" in answer["message"]), (500, True))
            status, answer = call(running, "POST", "/ochre/v1/repair", {})
            self.assertEqual(status, 200)
            (made,) = answer["collections"]
            self.assertEqual((made["repaired_collection"], made["records"], made["whole"]),
                             ("third.repaired", 12, False))
            running.restart(kill=False)
            self.assertEqual(self.count(running, "second"), (200, 11))
            status, answer = call(running, "GET", DATABASE + "/collections/third.repaired")
            self.ids["made"] = answer["id"]
            self.assertEqual(self.count(running, "made"), (200, 12))
            self.assertEqual(call(running, "DELETE", DATABASE + "/collections/third")[0], 200)
            self.assertEqual(call(running, "POST", "/ochre/v1/purge")[0], 200)
            self.assertEqual(call(running, "POST", "/ochre/v1/backup", {})[0], 200)
        self.assertEqual(ochre("check", self.data).returncode, 0)

    def test_who_reads_or_archives_is_refused(self):
        self.make()
        for option in (["--read-only"], ["--archive", self.scratch / "archive"]):
            refused = ochre("run", "--path", self.data, "--port", 0, *option)
            self.assertEqual(refused.returncode, 1, option)
            self.assertIn("is missing or damaged; run `ochre repair`", refused.stderr)

    def test_a_repair_names_who_misses_records(self):
        self.make()
        done = ochre("repair", self.data, "--to", self.scratch / "new", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual({each["name"]: each["whole"] for each in report["collections"]},
                         {"first": True, "second": True, "third": False})


if __name__ == "__main__":
    OCHRE = sys.argv.pop(1)
    unittest.main()
