#!/usr/bin/env python3
"""What looks after a data directory, with the real program: test_tools.py build/release/ochre

Standard library only.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import server  # noqa: E402

OCHRE = ""
DATABASE = "/api/v2/tenants/default_tenant/databases/default_database"


def ochre(*arguments):
    return subprocess.run([OCHRE, *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, check=False)


def ask(running, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(running.base + path, data,
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def add(running, collection, first, n):
    ids = [f"id-{i}" for i in range(first, first + n)]
    ask(running, f"{DATABASE}/collections/{collection}/add",
        {"ids": ids, "documents": [f"text of {i}" for i in ids],
         "embeddings": [[i, i % 7, i % 3] for i in range(first, first + n)]})


def sizes_of(directory):
    """Bytes of each file below, one that has several names once."""
    found = {}
    for path in directory.rglob("*"):
        if path.is_file():
            facts = path.stat()
            found[(facts.st_dev, facts.st_ino)] = facts.st_size
    return found


class Tools(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ochre-tools-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.data = self.scratch / "data"

    def serve(self, *arguments):
        running = server.Server(OCHRE, self.data)
        running.command += arguments
        return running

    def fill(self, running, n=500):
        collection = ask(running, f"{DATABASE}/collections", {"name": "things"})["id"]
        add(running, collection, 0, n)
        return collection

    # --- stats ----------------------------------------------------------------------

    def test_stats_are_those_of_the_directory_by_each_way_in(self):
        with self.serve() as running:
            things = self.fill(running)
            ask(running, f"{DATABASE}/collections/{things}/fork", {"new_name": "fork"})
            ask(running, f"{DATABASE}/collections/{things}/delete", {"ids": ["id-3", "id-4"]})
            add(running, things, 1000, 5)
            online = ask(running, "/ochre/v1/stats")
            done = ochre("stats", "--json", self.data)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            beside = json.loads(done.stdout)
            self.assertEqual(online["collections"], beside["collections"])
            old, fork = online["collections"]
            self.assertEqual((old["name"], old["records"], old["is_fork"]), ("things", 503, False))
            self.assertEqual((fork["name"], fork["records"], fork["is_fork"]), ("fork", 500, True))
            self.assertEqual((old["dead_rows"], old["unsealed_rows"]), (2, 5))
            self.assertEqual((fork["dimension"], fork["space"]), (3, "l2"))
            self.assertGreater(fork["shared_files"], 0)
            self.assertEqual(sum(fork["bytes_by_kind"].values()), fork["bytes"])
        # Nobody has it now; so that nothing moves.
        done = ochre("stats", "--path", self.data, "--json")
        said = json.loads(done.stdout)
        sizes = sizes_of(self.data)
        self.assertEqual(said["totals"]["disk_bytes"], sum(sizes.values()))
        self.assertEqual(said["totals"]["disk_files"], len(sizes))
        self.assertEqual(said["databases"], [{"tenant": "default_tenant",
                                              "database": "default_database", "collections": 2,
                                              "records": 1003, "dead_rows": 2,
                                              "bytes": sum(c["bytes"]
                                                           for c in said["collections"])}])
        done = ochre("stats", self.data)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"503 +2 .* things")
        self.assertRegex(done.stdout, r"fork \(fork\)")
        self.assertIn("on disk", done.stdout)

    def test_stats_change_nothing_and_need_a_database(self):
        with self.serve() as running:
            self.fill(running)
        before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in self.data.rglob("*")}
        self.assertEqual(ochre("stats", self.data).returncode, 0)
        after = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in self.data.rglob("*")}
        self.assertEqual(after, before)
        for arguments in (("stats",), ("stats", self.scratch / "none"), ("stats", "a", "b"),
                          ("stats", self.scratch)):
            self.assertEqual(ochre(*arguments).returncode, 2, arguments)

    # --- scrub ----------------------------------------------------------------------

    def damage(self, path, offset):
        with open(path, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)
            file.seek(offset)
            file.write(bytes([byte[0] ^ 1]))

    def test_scrub_says_what_check_says(self):
        with self.serve() as running:
            self.fill(running, 700)
            done = ochre("scrub", "--json", "--rate", "1000", self.data)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(json.loads(done.stdout)["result"], "sound")
        self.assertEqual(ochre("compact", self.data).returncode, 0)
        checked = ochre("check", "--json", self.data)
        scrubbed = ochre("scrub", "--rate=0", "--json", "--path", self.data)
        self.assertEqual((scrubbed.returncode, scrubbed.stdout), (0, checked.stdout))
        self.damage(next(self.data.glob("seg/*/*.seg")), 65536 + 10)
        for verb in ("check", "scrub"):
            done = ochre(verb, "--json", self.data)
            said = json.loads(done.stdout)
            self.assertEqual((done.returncode, said["result"]), (1, "damaged"), verb)
            self.assertEqual([f["derived"] for f in said["findings"]], [False])
            self.assertIn("damaged seg/", ochre(verb, self.data).stdout)

    def test_scrub_is_as_slow_as_it_is_told_to_be(self):
        with self.serve() as running:
            self.fill(running)
        begin = time.monotonic()
        done = ochre("scrub", "--rate", "4", self.data)
        self.assertEqual(done.returncode, 0)
        n_bytes = sum(path.stat().st_size for path in self.data.glob("log/*"))
        self.assertGreater(time.monotonic() - begin, n_bytes / (4 << 20) - 0.1)
        for rate in ("-1", "x", "", "1000001", "1.5"):
            self.assertEqual(ochre("scrub", "--rate", rate, self.data).returncode, 2, rate)
        self.assertEqual(ochre("scrub").returncode, 2)
        self.assertEqual(ochre("scrub", self.scratch / "none").returncode, 2)


if __name__ == "__main__":
    OCHRE = sys.argv.pop(1)
    unittest.main()
