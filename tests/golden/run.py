#!/usr/bin/env python3
"""Directories that earlier builds wrote, and that later ones might have written.

    run.py OCHRE FORGE [unittest options]

What is below 1/ was made by make.py and never changes: this build must read all of
it, answer as expected, write to it, and read it again.  From a copy FORGE makes what
a later ochre might leave: it is refused by its number, and nothing of it is touched.
Standard library only.
"""
import copy
import hashlib
import json
import math
import pathlib
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import server  # noqa: E402

OCHRE = FORGE = ""
ALL = ["documents", "metadatas", "embeddings", "uris"]


def ochre(*arguments):
    return subprocess.run([OCHRE, *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, check=False)


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def snapshot(directory, but=()):
    """Every path below a directory with its kind, size, time and contents."""
    out = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if name not in but:
            facts = path.stat()
            text = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "dir"
            out[name] = (facts.st_mode, facts.st_size, facts.st_mtime_ns, text)
    out["."] = directory.stat().st_mtime_ns
    return out


class Golden(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ochre-golden-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)

    def unpack(self, name):
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        with tarfile.open(HERE / "1" / f"{name}.tar.xz") as tar:
            tar.extractall(self.scratch, **safe)
        with open(self.scratch / "expected.json", encoding="utf-8") as file:
            return self.scratch / "data", json.load(file)

    # --- asking a server -----------------------------------------------------------

    def send(self, running, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(running.base + path, data,
                                         {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as e:
            return e.code, json.load(e)

    def ask(self, running, method, path, body=None):
        status, answer = self.send(running, method, path, body)
        self.assertIn(status, (200, 201), (path, answer))
        return answer

    @staticmethod
    def place(c):
        tenant = urllib.parse.quote(c["described"]["tenant"], safe="")
        return (f"/api/v2/tenants/{tenant}/databases/{c['described']['database']}"
                f"/collections/{c['described']['id']}")

    # --- comparing ------------------------------------------------------------------

    def check_catalog(self, running, expected):
        for tenant, names in expected["databases"].items():
            databases = "/api/v2/tenants/" + urllib.parse.quote(tenant, safe="") + "/databases"
            shown = self.ask(running, "GET", databases)
            self.assertEqual([d["name"] for d in shown], names)
            for name in names:
                shown = self.ask(running, "GET", f"{databases}/{name}/collections")
                want = [c["described"] for c in expected["collections"]
                        if (c["described"]["tenant"], c["described"]["database"]) ==
                        (tenant, name)]
                self.assertEqual([{k: c[k] for k in want[0]} for c in shown] if want else shown,
                                 want)

    def check_records(self, running, c):
        n = self.ask(running, "GET", self.place(c) + "/count")
        self.assertEqual(n, len(c["ids"]))
        got = self.ask(running, "POST", self.place(c) + "/get", {"include": ALL})
        self.assertEqual(got["ids"], c["ids"])
        self.assertEqual(got["documents"], c["documents"])
        self.assertEqual(got["uris"], c["uris"])
        self.assertEqual([m or None for m in got["metadatas"]], c["metadatas"])
        self.assertEqual([[f32(x) for x in v] for v in got["embeddings"]],
                         [[f32(x) for x in v] for v in c["embeddings"]])

    def check_answers(self, running, c):
        for question in c["questions"]:
            status, got = self.send(running, "POST", f"{self.place(c)}/{question['op']}",
                                    question["body"])
            want = question["answer"]
            self.assertEqual(status, want["status"], (question, got))
            if status == 200 and c["described"]["configuration_json"]["hnsw"]["space"] != "cosine":
                self.assertEqual(got["ids"], want["ids"], question)
            for row, shown in zip(want.get("distances", []), got.get("distances") or []):
                self.assertEqual(len(row), len(shown))
                for a, b in zip(row, shown):
                    self.assertTrue(math.isclose(a, b, rel_tol=2e-5, abs_tol=2e-5), question)

    def check_all(self, running, expected):
        self.check_catalog(running, expected)
        for c in expected["collections"]:
            self.check_records(running, c)
            self.check_answers(running, c)

    def check_sound(self, data):
        done = ochre("check", "--deep", data)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    # --- writing -----------------------------------------------------------------------

    def write(self, running, c):
        """Add, change and delete; what is expected changes alike."""
        dim = c["described"]["dimension"] or 4
        def post(verb, body):
            self.ask(running, "POST", f"{self.place(c)}/{verb}", body)

        c["described"]["dimension"] = dim
        if c["ids"]:
            post("delete", {"ids": [c["ids"][1]]})
            for column in ("ids", *ALL):
                del c[column][1]
            post("update", {"ids": [c["ids"][2]], "documents": ["of today"]})
            c["documents"][2] = "of today"
        post("add", {"ids": ["new 1", "new 2"], "embeddings": [[1.5] * dim, [-0.5] * dim],
                     "metadatas": [{"new": 1}, None]})
        c["ids"] += ["new 1", "new 2"]
        c["embeddings"] += [[1.5] * dim, [-0.5] * dim]
        c["documents"] += [None, None]
        c["uris"] += [None, None]
        c["metadatas"] += [{"new": 1}, None]
        c["questions"] = []  # their answers were for what was there

    def live(self, data, expected):
        """Read, write, close, read again, compact, read again."""
        self.check_sound(data)
        with server.Server(OCHRE, data) as running:
            self.check_all(running, expected)
            for c in expected["collections"]:
                self.write(running, c)
            self.check_all(running, expected)
            running.restart(kill=True)
            self.check_all(running, expected)
            self.assertEqual(running.stop(), 0)
            self.check_sound(data)
            running.start()
            self.check_all(running, expected)
            self.ask(running, "POST", "/ochre/v1/compact", {})
            self.check_all(running, expected)
            self.assertEqual(running.stop(), 0)
        self.check_sound(data)

    def test_a_killed_servers_directory(self):
        self.live(*self.unpack("killed"))

    def test_the_log_of_a_server_that_was_started_again(self):
        """Its files are shorter than they were made, by openings."""
        data, expected = self.unpack("restarted")
        self.assertGreater(len([p for p in data.glob("log/*") if p.stat().st_size < 2 ** 20]), 1)
        self.live(data, expected)

    def test_files_of_records_and_of_deletions(self):
        data, expected = self.unpack("closed")
        self.assertEqual(len(list(data.glob("seg/*/*.del"))), 1)
        self.live(data, expected)

    def test_what_is_old_is_upgraded_and_put_back(self):
        for name in ("2026-11-21", "2026-11-27", "closed", "compacted", "killed"):
            with self.subTest(name=name):
                shutil.rmtree(self.scratch / "data", ignore_errors=True)
                data, expected = self.unpack(name)
                paths = [*data.glob("log/*"), *data.glob("seg/*/*"), data / "catalog.db"]
                before = {p: p.read_bytes() for p in paths}
                done = ochre("upgrade", "--dry-run", "--json", data)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertGreater(json.loads(done.stdout)["old"], 0)
                done = ochre("upgrade", data)
                self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
                self.assertEqual(json.loads(ochre("upgrade", "--dry-run", "--json",
                                                  data).stdout)["old"], 0)
                self.check_sound(data)
                with server.Server(OCHRE, data) as running:
                    self.check_all(running, expected)
                done = ochre("upgrade", "--revert", data)
                self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
                paths = [*data.glob("log/*"), *data.glob("seg/*/*"), data / "catalog.db"]
                self.assertEqual({p: p.read_bytes() for p in paths}, before)
                self.check_sound(data)
                self.assertEqual(ochre("upgrade", "--commit", data).returncode, 2)
                self.assertEqual(ochre("upgrade", data).returncode, 0)
                self.assertEqual(ochre("upgrade", "--commit", data).returncode, 0)
                self.assertFalse((data / "upgrade").exists())
                with server.Server(OCHRE, data) as running:
                    self.check_all(running, expected)

    def test_what_is_old_is_upgraded_in_use_and_put_back(self):
        """By the server: what is kept is how it was when that was asked."""
        for name in ("2026-11-21", "2026-11-27"):  # their segments are old; catalogs get a copy
            with self.subTest(name=name):
                shutil.rmtree(self.scratch / "data", ignore_errors=True)
                data, expected = self.unpack(name)
                changed = copy.deepcopy(expected)
                before = {p: p.read_bytes() for p in data.glob("seg/*/*")}
                with server.Server(OCHRE, data) as running:
                    look = self.ask(running, "GET", "/ochre/v1/upgrade")
                    self.assertEqual((look["result"], look["kept"]), ("not upgraded", False))
                    done = self.ask(running, "POST", "/ochre/v1/upgrade")
                    self.assertEqual((done["result"], done["kept"]), ("upgraded", True))
                    self.assertEqual((done["files"], done["old"]), (look["files"], look["old"]))
                    self.assertEqual(done["old"], 1)
                    self.check_all(running, expected)
                    look = self.ask(running, "GET", "/ochre/v1/upgrade")
                    self.assertEqual((look["result"], look["files"]), ("nothing is old", []))
                    self.assertEqual(look["kept_unix_s"], done["kept_unix_s"])
                    self.assertEqual(running.stop(), 0)
                self.check_sound(data)
                # Nothing was written: it is put back as that is said.
                shutil.copytree(data, self.scratch / "copy")
                done = ochre("upgrade", "--revert", data)
                self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
                self.assertEqual({p: p.read_bytes() for p in data.glob("seg/*/*")}, before)
                self.check_sound(data)
                with server.Server(OCHRE, data) as running:
                    self.check_all(running, expected)
                # Something was.
                shutil.rmtree(data)
                (self.scratch / "copy").rename(data)
                with server.Server(OCHRE, data) as running:
                    for c in changed["collections"]:
                        self.write(running, c)
                    self.assertEqual(running.stop(), 0)
                done = ochre("upgrade", "--revert", data)
                self.assertEqual(done.returncode, 2, done)
                self.assertRegex(done.stderr, "--discard-writes")
                with server.Server(OCHRE, data) as running:
                    self.check_all(running, changed)
                done = ochre("upgrade", "--revert", "--discard-writes", data)
                self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
                self.assertEqual({p: p.read_bytes() for p in data.glob("seg/*/*")}, before)
                # And once more, to stay.
                with server.Server(OCHRE, data) as running:
                    self.check_all(running, expected)
                    self.ask(running, "POST", "/ochre/v1/upgrade")
                    done = self.ask(running, "POST", "/ochre/v1/upgrade/commit")
                    self.assertEqual((done["result"], done["kept"]), ("committed", False))
                    self.assertEqual(self.send(running, "POST", "/ochre/v1/upgrade/commit")[0], 404)
                    self.assertFalse((data / "upgrade").exists())
                    self.check_all(running, expected)
                self.check_sound(data)

    def test_a_graph_is_walked(self):
        data, expected = self.unpack("compacted")
        bulk = next(c for c in expected["collections"] if c["described"]["name"] == "bulk")
        with server.Server(OCHRE, data) as running:
            got = self.ask(running, "POST", self.place(bulk) + "/query",
                           {"query_embeddings": [bulk["embeddings"][5]], "explain": True})
            self.assertIn("graph", [s["kind"] for s in got["explain"][0]["sources"]])
        self.live(data, expected)

    def test_a_change_of_the_catalog_that_was_interrupted(self):
        data, expected = self.unpack("journal")
        self.assertGreater((data / "catalog.db-journal").stat().st_size, 4096)
        self.live(data, expected)

    def test_a_backup(self):
        backup, expected = self.unpack("backup")
        before = snapshot(backup)
        done = ochre("restore", backup, self.scratch / "again")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(snapshot(backup), before)
        self.live(self.scratch / "again", expected)
        done = ochre("backup", self.scratch / "again", backup)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_the_first_days_directory(self):
        """One header a log file, no indexes: 2026-11-21."""
        self.live(*self.unpack("2026-11-21"))

    def test_a_directory_with_the_first_graph(self):
        """Its codes are laid out as they are no more: it is searched all the same."""
        self.live(*self.unpack("2026-11-27"))

    def test_every_directory_has_its_test(self):
        names = {p.name.removesuffix(".tar.xz") for p in (HERE / "1").iterdir()}
        self.assertEqual(names, {"killed", "closed", "compacted", "journal", "backup",
                                 "2026-11-21", "2026-11-27", "restarted"})

    # --- later formats ---------------------------------------------------------------------

    def forge(self, kind, path, version=2):
        done = subprocess.run([FORGE, kind, path, str(version)], capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def refused(self, data, said, status, but=()):
        """Whatever is asked of it: refused by its number, and nothing is touched."""
        before = snapshot(data, but)
        for command in (("check", data), ("compact", data), ("purge", data),
                        ("backup", data, self.scratch / "to"),
                        ("run", "--port", "0", "--path", data),
                        ("run", "--read-only", "--port", "0", "--path", data)):
            done = ochre(*command)
            self.assertEqual(done.returncode, status[command[0]], (command, done))
            self.assertRegex(done.stderr, said, command)
            self.assertEqual(snapshot(data, but), before, command)
        self.assertFalse((self.scratch / "to" / "BACKUP").exists())

    STATUS = {"check": 2, "compact": 1, "purge": 1, "backup": 1, "run": 1}

    def test_a_later_directory_is_refused_untouched(self):
        for name in ("killed", "closed", "journal"):
            data, _ = self.unpack(name)
            self.forge("format", data / "FORMAT")
            self.refused(data, "has format 2; .* reads format 1", self.STATUS)
            shutil.rmtree(data)

    def test_a_later_catalog_is_refused_untouched(self):
        for name in ("killed", "closed", "2026-11-27"):
            data, _ = self.unpack(name)
            self.forge("catalog", data / "catalog.db")
            self.refused(data, "catalog: format 2; .* reads format 1", self.STATUS, ("LOCK",))
            shutil.rmtree(data)

    def test_a_later_log_is_refused_untouched(self):
        for name in ("killed", "closed"):
            data, _ = self.unpack(name)
            log = max((data / "log").iterdir())
            self.forge("log", log)
            (data / "catalog.db-journal").unlink(missing_ok=True)  # goes at each opening
            self.refused(data, f"log/{log.name}: format 2; .* reads format 1", self.STATUS,
                         ("LOCK", "."))
            shutil.rmtree(data)

    def test_a_later_file_of_records_fails_its_collection_alone(self):
        for kind, pattern in (("segment", "*.seg"), ("deletes", "*.del")):
            data, expected = self.unpack("closed")
            path = min(data.glob("seg/*/" + pattern))
            self.forge(kind, path)
            before = snapshot(data / "seg")
            with server.Server(OCHRE, data) as running:
                for c in expected["collections"]:
                    if c["described"]["name"] != "bulk":
                        self.check_records(running, c)
                        continue
                    status, answer = self.send(running, "POST", self.place(c) + "/get", {})
                    self.assertGreaterEqual(status, 500)
                    self.assertRegex(answer["message"], f"{path.name}: format 2; .* format 1")
                self.assertEqual(running.stop(), 0)
            done = ochre("check", "--deep", data)
            self.assertEqual(done.returncode, 2, done)
            self.assertRegex(done.stderr, f"{path.name}: format 2; .* format 1")
            self.assertEqual(snapshot(data / "seg"), before)
            shutil.rmtree(data)

    def test_a_later_backup_is_refused_untouched(self):
        backup, _ = self.unpack("backup")
        self.forge("backup", backup / "BACKUP")
        before = snapshot(backup)
        done = ochre("restore", backup, self.scratch / "again")
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stderr, "the backup has format 2; .* reads format 1")
        self.assertFalse((self.scratch / "again").exists())
        with server.Server(OCHRE, self.scratch / "mine"):
            pass
        done = ochre("backup", self.scratch / "mine", backup)
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stderr, "the backup has format 2; .* reads format 1")
        self.assertEqual(snapshot(backup), before)


if __name__ == "__main__":
    OCHRE, FORGE = sys.argv.pop(1), sys.argv.pop(1)
    unittest.main()
