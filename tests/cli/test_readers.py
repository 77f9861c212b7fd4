#!/usr/bin/env python3
"""Servers that only read, beside one that writes: test_readers.py build/release/ochre

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
LATE_SECONDS = 1.0  # ten times what is promised: the machine may be busy


def call(running, path, body=None, method=None, base=DATABASE):
    """Status and answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(running.base + base + path, data,
                                     {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


def create(running, name):
    status, answer = call(running, "/collections", {"name": name})
    assert status == 200, answer
    return answer["id"]


def add(running, collection, first, n):
    ids = [f"id-{i}" for i in range(first, first + n)]
    status, answer = call(running, f"/collections/{collection}/add",
                          {"ids": ids, "documents": [f"text of {i}" for i in ids],
                           "embeddings": [[i, i % 7, i % 3] for i in range(first, first + n)]})
    assert status in (200, 201), answer


def read(running, collection):
    status, answer = call(running, f"/collections/{collection}/get",
                          {"include": ["documents", "embeddings"]})
    return (status, answer["ids"], answer["documents"], answer["embeddings"]) \
        if status == 200 else (status,)


def files_of(directory):
    """Names, sizes and times of all that is in a directory, itself and directories included."""
    found = {}
    for path in [directory, *sorted(directory.rglob("*"))]:
        about = path.stat()
        found[str(path)] = (about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino)
    return found


class Readers(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ochre-readers-")
        self.addCleanup(scratch.cleanup)
        self.data = pathlib.Path(scratch.name) / "data"
        self.n_readers = 0
        self.writer = server.Server(OCHRE, self.data)
        self.addCleanup(self.writer.kill)

    def start_reader(self):
        self.n_readers += 1
        reader = server.Server(OCHRE, self.data, ["--read-only"])
        reader.log = f"{self.data}.reader-{self.n_readers}.log"
        reader.start()
        self.addCleanup(reader.kill)
        return reader

    def assert_soon(self, wanted, look):
        deadline = time.monotonic() + LATE_SECONDS
        while time.monotonic() < deadline:
            if look() == wanted:
                return
            time.sleep(0.005)
        self.assertEqual(look(), wanted)

    def assert_agree(self, readers, collection):
        wanted = read(self.writer, collection)
        for reader in readers:
            self.assert_soon(wanted, lambda: read(reader, collection))

    def test_what_one_server_writes_others_answer(self):
        self.writer.start()
        readers = [self.start_reader(), self.start_reader()]
        things = create(self.writer, "things")
        for first in range(0, 500, 100):
            add(self.writer, things, first, 100)
            self.assert_agree(readers, things)
        call(self.writer, f"/collections/{things}/delete", {"ids": ["id-3", "id-4"]})
        self.assert_agree(readers, things)
        status, _ = call(self.writer, "/compact", {}, base="/ochre/v1")
        add(self.writer, things, 500, 10)
        self.assert_agree(readers, things)
        for reader in readers:
            status, answer = call(reader, f"/collections/{things}/query",
                                  {"query_embeddings": [[505, 1, 1]], "n_results": 3})
            self.assertEqual(status, 200)
            self.assertEqual(answer["ids"][0][0], "id-505")
        call(self.writer, f"/collections/{things}", {"new_name": "renamed"}, "PUT")
        self.assert_soon(200, lambda: call(readers[0], "/collections/renamed")[0])
        call(self.writer, "/collections/renamed", method="DELETE")
        self.assert_soon((404,), lambda: read(readers[0], things))
        self.assertEqual(readers[0].stop(), 0)

    def test_writes_are_refused_and_name_the_mode(self):
        self.writer.start()
        things = create(self.writer, "things")
        add(self.writer, things, 0, 10)
        reader = self.start_reader()
        at = f"/collections/{things}"
        one = {"ids": ["x"], "embeddings": [[1, 2, 3]], "documents": ["x"]}
        writes = [("/collections", {"name": "others"}, "POST", DATABASE),
                  (at + "/add", one, "POST", DATABASE),
                  (at + "/upsert", one, "POST", DATABASE),
                  (at + "/update", dict(one, ids=["id-1"]), "POST", DATABASE),
                  (at + "/delete", {"ids": ["id-1"]}, "POST", DATABASE),
                  (at, {"new_name": "others"}, "PUT", DATABASE),
                  ("/collections/things", None, "DELETE", DATABASE),
                  (at + "/fork", {"new_name": "others"}, "POST", DATABASE),
                  ("/tenants", {"name": "somebody"}, "POST", "/api/v2"),
                  ("/tenants/default_tenant/databases", {"name": "else"}, "POST", "/api/v2"),
                  ("/tenants/default_tenant/databases/default_database", None, "DELETE",
                   "/api/v2"),
                  ("/reset", {}, "POST", "/api/v2"),
                  ("/compact", {}, "POST", "/ochre/v1"),
                  ("/purge", {}, "POST", "/ochre/v1"),
                  ("/backup", {}, "POST", "/ochre/v1")]
        before = read(self.writer, things)
        for path, body, method, base in writes:
            with self.subTest(path=path, method=method):
                status, answer = call(reader, path, body, method, base)
                self.assertEqual(status, 403, answer)
                self.assertIn("read-only", answer["message"])
        # One that is there is only looked up.
        status, answer = call(reader, "/collections", {"name": "things", "get_or_create": True})
        self.assertEqual((status, answer["id"]), (200, things))
        self.assertEqual(read(self.writer, things), before)

    def test_a_reader_survives_its_writers(self):
        self.writer.start()
        things = create(self.writer, "things")
        add(self.writer, things, 0, 50)
        reader = self.start_reader()
        for kill in (True, False, True):
            add(self.writer, things, 50, 50)
            wanted = read(self.writer, things)
            self.writer.kill() if kill else self.writer.stop()
            self.assert_soon(wanted, lambda: read(reader, things))
            self.writer.start()
            call(self.writer, f"/collections/{things}/delete",
                 {"ids": [f"id-{i}" for i in range(50, 90)]})
            self.assert_agree([reader], things)

    def test_nothing_in_the_directory_changes(self):
        self.writer.start()
        things = create(self.writer, "things")
        add(self.writer, things, 0, 300)
        for kill in (True, False):
            wanted = read(self.writer, things)
            self.writer.kill() if kill else self.writer.stop()
            before = files_of(self.data)
            reader = self.start_reader()
            self.assertEqual(read(reader, things), wanted)
            self.assertEqual(call(reader, f"/collections/{things}/count")[1], 300)
            time.sleep(0.1)
            reader.stop()
            self.assertEqual(files_of(self.data), before)
            self.writer.start()

    def test_a_reader_needs_a_directory_and_makes_none(self):
        for there in (False, True):
            if there:
                self.data.mkdir()
            done = subprocess.run([OCHRE, "run", "--read-only", "--path", str(self.data),
                                   "--port", "0"], capture_output=True, text=True, timeout=60,
                                  check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertRegex(done.stderr, "no ochre database here|cannot open")
        self.assertEqual(os.listdir(self.data), [])

    def test_a_second_writer_is_refused_beside_readers(self):
        self.writer.start()
        self.start_reader()
        began = time.monotonic()
        done = subprocess.run([OCHRE, "run", "--path", str(self.data), "--port", "0"],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 73)
        self.assertIn(f"pid {self.writer.process.pid}", done.stderr)
        self.assertLess(time.monotonic() - began, LATE_SECONDS)


if __name__ == "__main__":
    OCHRE = sys.argv.pop(1)
    unittest.main()
