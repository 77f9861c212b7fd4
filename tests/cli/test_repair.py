#!/usr/bin/env python3
"""Repairing with the real program: test_repair.py build/release/ochre

Standard library only.
"""
import concurrent.futures
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
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


def post(running, path, body):
    request = urllib.request.Request(running.base + DATABASE + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def look(running, path):
    with urllib.request.urlopen(running.base + DATABASE + path, timeout=60) as answer:
        return json.load(answer)


def contents(directory):
    """Names, and hashes of all bytes."""
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(directory.rglob("*")) if path.is_file()}


class Repair(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ochre-repair-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.data, self.new = self.scratch / "data", self.scratch / "new"
        with server.Server(OCHRE, self.data) as running:
            self.collections = [post(running, "/collections", {"name": f"things-{i}"})["id"]
                                for i in range(2)]
            for turn in range(10):
                for collection in self.collections:
                    post(running, f"/collections/{collection}/add",
                         {"ids": [f"id-{turn}"], "documents": [f"turn {turn} of {collection}"],
                          "embeddings": [[turn, 1, 2]]})

    def damage_log(self):
        """A record of the first collection, in the middle of the log."""
        log = sorted((self.data / "log").glob("*.log"))[0]
        bytes_ = bytearray(log.read_bytes())
        bytes_[bytes_.index(f"turn 6 of {self.collections[0]}".encode())] ^= 4
        log.write_bytes(bytes_)

    def counts(self, directory):
        with server.Server(OCHRE, directory) as running:
            return [len(post(running, f"/collections/{collection}/get", {})["ids"])
                    for collection in self.collections]

    def test_what_is_left_is_made_a_sound_directory(self):
        self.damage_log()
        before = contents(self.data)
        dry = ochre("repair", "--path", self.data, "--dry-run")
        self.assertEqual(dry.returncode, 0, dry.stderr)
        self.assertIn("repairable, with losses", dry.stdout)
        self.assertFalse(self.new.exists())
        done = ochre("repair", self.data, "--to", self.new)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("repaired and verified, with losses", done.stdout)
        self.assertIn('collection "things-0", fails its checksum', done.stdout)
        self.assertIn("things-0: damaged; 6 records, up to position 6",
                      (self.new / "REPAIR").read_text())
        self.assertEqual(contents(self.data), before)
        self.assertEqual(ochre("check", self.new).returncode, 0)
        self.assertEqual(self.counts(self.new), [6, 10])
        again = ochre("repair", self.data, "--to", self.new)
        self.assertEqual(again.returncode, 2)
        self.assertIn("has a database already", again.stderr)

    def test_in_place_the_damaged_one_is_kept(self):
        self.damage_log()
        before = contents(self.data)
        for n in (1, 2):
            done = ochre("repair", "--path", f"{self.data}/", "--in-place", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            report = json.loads(done.stdout)
            kept = pathlib.Path(report["damaged_kept_as"])
            self.assertEqual(kept, self.scratch / f"data.damaged-{n}")
            self.assertEqual(report["result"], "repaired")
            self.assertEqual(report["lost_something"], n == 1)
            self.assertEqual([c["records"] for c in report["collections"]], [6, 10])
            self.assertEqual([c["whole"] for c in report["collections"]], [n == 2, True])
            if n == 1:
                self.assertEqual(contents(kept), before)
                self.assertEqual([f["kind"] for f in report["findings"]], ["lost"])
        self.assertEqual(self.counts(self.data), [6, 10])
        self.assertEqual({path.name for path in self.scratch.iterdir() if path.is_dir()},
                         {"data", "data.damaged-1", "data.damaged-2"})

    def test_without_a_catalog_it_says_so(self):
        for name in ("catalog.db", "catalog.copy"):
            (self.data / name).unlink()
        for options in (["--to", self.new], ["--dry-run"], ["--in-place"]):
            failed = ochre("repair", self.data, *options)
            self.assertEqual(failed.returncode, 1)
            self.assertIn("not repairable", failed.stderr)
            self.assertIn("restore a backup", failed.stderr)
        self.assertFalse((self.new / "FORMAT").exists())
        self.assertFalse((self.data / "catalog.db").exists())

    def test_arguments_and_a_directory_in_use(self):
        for options in ([], [self.data], [self.data, "--to", self.new, "--in-place"],
                        [self.data, self.new], [self.scratch / "nothing", "--to", self.new]):
            self.assertEqual(ochre("repair", *options).returncode, 2, options)
        with server.Server(OCHRE, self.data):
            used = ochre("repair", self.data, "--to", self.new)
        self.assertEqual(used.returncode, 73, used.stderr)
        other = self.scratch / "other"
        other.mkdir()
        (other / "file").write_text("not ours")
        self.assertEqual(ochre("repair", self.data, "--to", other).returncode, 2)
        self.assertEqual(ochre("repair", other, "--to", self.new).returncode, 2)
        shutil.rmtree(other)


class Online(unittest.TestCase):
    """The same of a running server."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ochre-repair-")
        self.addCleanup(scratch.cleanup)
        self.data = pathlib.Path(scratch.name) / "data"

    def fill(self, running, name):
        collection = post(running, "/collections", {"name": name})["id"]
        post(running, f"/collections/{collection}/add",
             {"ids": [f"id-{i}" for i in range(40)], "embeddings": [[i, 1, 2] for i in range(40)],
              "documents": [f"record {i} of {name} " + "x" * 9000 for i in range(40)]})
        return collection

    def ask(self, running, body=b""):
        request = urllib.request.Request(running.base + "/ochre/v1/repair", body,
                                         {"Content-Type": "application/json"}, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def write_on(self, running, collection):
        """Somebody else, who is not to notice."""
        for i in range(200):
            post(running, f"/collections/{collection}/upsert",
                 {"ids": [f"more-{i}"], "embeddings": [[i, 2, 3]], "documents": [f"more {i}"]})

    def damage(self, collection, text):
        (path,) = (self.data / "seg" / collection).glob("*.seg")
        bytes_ = path.read_bytes()
        with path.open("r+b") as file:
            file.seek(bytes_.index(text))
            file.write(b"damaged")
        return path

    def count(self, running, name):
        collection = look(running, f"/collections/{name}")["id"]
        return len(post(running, f"/collections/{collection}/get", {})["ids"])

    def test_what_is_left_is_a_collection_beside(self):
        with server.Server(OCHRE, self.data) as running:
            things, others = self.fill(running, "things"), self.fill(running, "others")
            urllib.request.urlopen(urllib.request.Request(
                running.base + "/ochre/v1/compact", b"", method="POST"), timeout=60).close()
            whole = self.ask(running)
            self.assertEqual((whole["findings"], whole["collections"]), ([], []))
            self.assertEqual((whole["n_collections"], whole["n_whole"]), (2, 2))
            self.assertFalse((self.data / "REPAIR").exists())
            path = self.damage(things, b"record 20 of things")
            before = path.read_bytes()
            dry = self.ask(running, b'{"dry_run": true}')
            (found,) = dry["collections"]
            self.assertEqual((found["name"], found["repaired_collection"]), ("things", None))
            self.assertEqual(len(look(running, "/collections")), 2)
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                writer = pool.submit(self.write_on, running, others)
                done = self.ask(running, b"{}")
                writer.result()
            (made,) = done["collections"]
            self.assertEqual(made["repaired_collection"], "things.repaired")
            self.assertEqual(made["lost"], found["lost"])
            self.assertTrue(2 <= made["lost"] <= 12 and done["lost_something"])
            self.assertEqual(made["records"] + made["lost"], 40)
            self.assertEqual(path.read_bytes(), before)
            self.assertIn('collection "things.repaired" was made',
                          (self.data / "REPAIR").read_text())
            for body in (b'{"dry_run": 3}', b'{"dryrun": true}', b'{"dry_run": true, "x": 1}'):
                with self.assertRaises(urllib.error.HTTPError) as refused:
                    self.ask(running, body)
                self.assertEqual(refused.exception.code, 422)
                refused.exception.close()
            for n in range(2):
                self.assertEqual(self.count(running, "things.repaired"), made["records"])
                self.assertEqual(self.count(running, "others"), 240)
                running.restart(kill=n == 0)
            self.assertEqual(list((self.data / "tmp").iterdir()), [])
            # Without the damaged one all is sound again.
            urllib.request.urlopen(urllib.request.Request(
                running.base + DATABASE + "/collections/things", method="DELETE"),
                timeout=60).close()
            self.assertEqual(self.ask(running)["n_whole"], 2)
        self.assertEqual(ochre("check", self.data).returncode, 0)


if __name__ == "__main__":
    OCHRE = sys.argv.pop(1)
    unittest.main()
