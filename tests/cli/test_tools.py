#!/usr/bin/env python3
"""What looks after a data directory, with the real program: test_tools.py build/release/ochre

Standard library only.
"""
import json
import os
import pathlib
import pty
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


def at_terminal(*arguments):
    """With standard error being a terminal: exit status, standard output, what was drawn."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([OCHRE, *map(str, arguments)], stdout=subprocess.PIPE, stderr=theirs,
                          text=True) as running:
        os.close(theirs)
        drawn = b""
        while True:
            try:
                more = os.read(ours, 4096)
            except OSError:  # nobody has the other end any more
                break
            if not more:
                break
            drawn += more
        said = running.stdout.read()
        running.wait(timeout=120)
    os.close(ours)
    return running.returncode, said, drawn.decode()


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

    # --- all of them ----------------------------------------------------------------

    def test_who_tidies_says_so_as_it_is_told_to(self):
        with self.serve() as running:
            self.fill(running)
            for verb in ("compact", "purge"):
                done = ochre(verb, "--json", self.data)
                said = json.loads(done.stdout)
                self.assertEqual((done.returncode, said["result"]), (73, "in_use"), verb)
                self.assertIn("is in use by pid", said["message"])
        for verb, word in (("compact", "compacted"), ("purge", "purged")):
            done = ochre(verb, self.data)
            self.assertEqual((done.returncode, done.stdout, done.stderr),
                             (0, f"{self.data}: {word}\n", ""))
            done = ochre(verb, "--quiet", "--path", self.data)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
            done = ochre(verb, "-j", "-p", self.data)
            self.assertEqual(json.loads(done.stdout),
                             {"result": word, "path": str(self.data), "message": ""})
            failed = ochre(verb, "--json", self.scratch / "none")
            self.assertEqual((failed.returncode, json.loads(failed.stdout)["result"]),
                             (2, "failed"))
            for arguments in ((), (self.data, self.data), (self.data, "--path", self.data),
                              ("--jsn", self.data)):
                self.assertEqual(ochre(verb, *arguments).returncode, 2, arguments)

    def test_work_that_may_take_long_is_drawn_at_a_terminal_and_nowhere_else(self):
        with self.serve() as running:
            self.fill(running)
            ask(running, f"{DATABASE}/collections", {"name": "empty"})
        backup = self.scratch / "backup"
        repaired = self.scratch / "repaired"
        # An upgrade has something to do.
        (self.data / "catalog.copy").unlink()
        for arguments, parts in (
                (("upgrade", self.data), ("checking [", "writing anew [", "purging [")),
                (("upgrade", "--commit", self.data), ()),
                (("check", self.data), ("[",)),
                (("scrub", "--rate=0", self.data), ("[",)),
                (("compact", self.data), ("[",)),
                (("purge", self.data), ("[",)),
                (("repair", self.data, "--to", repaired), ("reading [", "verifying [")),
                (("backup", self.data, backup), ("[",)),
                (("restore", backup, self.scratch / "restored"), ("[",))):
            code, said, drawn = at_terminal(*arguments)
            self.assertEqual(code, 0, (arguments, said, drawn))
            self.assertNotIn("\r", said)
            for part in parts:
                self.assertIn("\r" + part, drawn, arguments)
            self.assertEqual(parts != (), "%" in drawn, arguments)
            # The line is left empty.
            self.assertEqual(drawn.rsplit("\r", 2)[1].strip() if drawn else "", "", arguments)
        for arguments in (("compact", "--quiet", self.data), ("purge", "-q", self.data),
                          ("check", "-q", self.data), ("scrub", "-q", self.data),
                          ("upgrade", "-q", self.data),
                          ("repair", "-q", self.data, "--to", self.scratch / "other"),
                          ("backup", "-q", self.data, backup)):
            code, _, drawn = at_terminal(*arguments)
            self.assertEqual((code, drawn), (0, ""), arguments)


if __name__ == "__main__":
    OCHRE = sys.argv.pop(1)
    unittest.main()
