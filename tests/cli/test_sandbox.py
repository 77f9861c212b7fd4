#!/usr/bin/env python3
"""The sandbox of a real server, as the kernel shows it: test_sandbox.py OCHRE

Exit status 77 where there is none to look at.  Standard library only.
"""
import json
import os
import pathlib
import pwd
import random
import resource
import shutil
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
SKIPPED = 77
DATABASE = "/api/v2/tenants/default_tenant/databases/default_database"
NOBODY = pwd.getpwnam("nobody")


def call(running, path, body, method="POST"):
    request = urllib.request.Request(running.base + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def status_of_threads(running):
    """/proc/PID/task/*/status, as dictionaries."""
    found = []
    for task in pathlib.Path(f"/proc/{running.process.pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        found.append({name: value.strip() for name, value in (x.split(":", 1) for x in lines)})
    return found


def fill(running, collection, begin, n, dimension=16):
    rng = random.Random(begin)
    for first in range(begin, begin + n, 500):
        ids = [f"id-{i}" for i in range(first, first + 500)]
        call(running, f"{DATABASE}/collections/{collection}/add",
             {"ids": ids, "documents": [f"text of {i}" for i in ids],
              "metadatas": [{"n": i} for i in range(500)],
              "embeddings": [[rng.random() for _ in range(dimension)] for _ in ids]})


class Sandbox(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ochre-sandbox-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.data = self.scratch / "data"

    def refused(self, *arguments):
        done = subprocess.run([OCHRE, "run", "--port", "0", "--path", str(self.data), *arguments],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr

    def test_every_thread_is_inside_and_has_no_rights(self):
        with server.Server(OCHRE, self.data) as running:
            self.assertEqual(running.facts()["sandbox"], "on")
            threads = status_of_threads(running)
            self.assertGreater(len(threads), 20)
            for status in threads:
                self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
                for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                    self.assertEqual(int(status[kind], 16), 0, kind)
                if os.geteuid() == 0:
                    self.assertEqual(int(status["CapBnd"], 16), 0)
            limits = pathlib.Path(f"/proc/{running.process.pid}/limits").read_text()
            self.assertRegex(limits, r"Max core file size +0 +0 ")
            self.assertEqual(self.data.stat().st_mode & 0o777, 0o700)

    def test_it_can_be_switched_off(self):
        config = self.scratch / "config.yaml"
        config.write_text("sandbox: false\n")
        for arguments in (("--no-sandbox",), (str(config),)):
            with server.Server(OCHRE, self.data, arguments) as running:
                self.assertEqual(running.facts()["sandbox"], "off")
                self.assertEqual(status_of_threads(running)[0]["Seccomp"], "0")

    def test_core_dumps_are_had_by_asking(self):
        if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
            self.skipTest("core dumps are off for this process")
        for arguments in (("--core-dumps",), ()):
            with server.Server(OCHRE, self.data, arguments) as running:
                limits = pathlib.Path(f"/proc/{running.process.pid}/limits").read_text()
                if arguments:
                    self.assertNotRegex(limits, r"Max core file size +\S+ +0 ")
                else:
                    self.assertRegex(limits, r"Max core file size +0 +0 ")

    def test_everything_a_server_does_works_inside(self):
        backup = self.scratch / "backup"
        with server.Server(OCHRE, self.data, ("--allow-reset", "--backup-dir",
                                              str(backup))) as running:
            made = call(running, DATABASE + "/collections", {"name": "things"})["id"]
            path = f"{DATABASE}/collections/{made}"
            fill(running, made, 0, 12000) # heads are sealed
            query = {"query_embeddings": [[0.5] * 16], "n_results": 5,
                     "where": {"n": {"$gt": 3}}, "where_document": {"$regex": "te.t of id-1"}}
            found = call(running, path + "/query", query)["ids"][0]
            self.assertEqual(len(found), 5)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                if call(running, path + "/indexing_status", {}, "GET")["num_unindexed_ops"] == 0:
                    break
                time.sleep(0.1)
            call(running, path + "/update", {"ids": ["id-1"], "documents": ["new"]})
            call(running, path + "/delete", {"ids": ["id-2"]})
            self.assertGreater(call(running, "/ochre/v1/backup", {})["files"], 0)
            running.restart(kill=True)
            self.assertEqual(call(running, path + "/count", {}, "GET"), 11999)
            self.assertEqual(running.restart(kill=False), 0)
            self.assertEqual(call(running, path + "/query", query)["ids"][0], found)
            call(running, "/api/v2/reset", {})
            self.assertEqual(running.stop(), 0)
            self.assertNotIn("not permitted", running.log_tail())
            self.assertNotIn("denied", running.log_tail())
        for arguments in (("check", self.data), ("check", self.restored(backup))):
            done = subprocess.run([OCHRE, *map(str, arguments)], capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)

    def restored(self, backup):
        where = self.scratch / "again"
        done = subprocess.run([OCHRE, "restore", str(backup), str(where)], capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return where

    def test_a_directory_in_use_comes_before_a_port_in_use(self):
        with server.Server(OCHRE, self.data) as running:
            for port, status in ((str(running.port), 73), ("0", 73)):
                done = subprocess.run([OCHRE, "run", "--path", str(self.data), "--port", port],
                                      capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual(done.returncode, status, done.stderr)
            done = subprocess.run([OCHRE, "run", "--path", str(self.scratch / "other"), "--port",
                                   str(running.port)], capture_output=True, text=True,
                                  timeout=60, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"port {running.port}", done.stderr)

    def test_an_unknown_user_is_refused(self):
        self.assertIn('there is no user "nobody-of-that-name"',
                      self.refused("--user", "nobody-of-that-name"))
        self.assertIn("is root", self.refused("--user", "root"))
        self.assertFalse(self.data.exists())

    @unittest.skipUnless(os.geteuid() == 0, "only root can become another user")
    def test_root_becomes_the_user_and_keeps_nothing(self):
        os.chmod(self.scratch, 0o755)
        self.data.mkdir(mode=0o700)
        shutil.chown(self.data, NOBODY.pw_uid)
        for arguments in (("--user", "nobody"), ("--user", str(NOBODY.pw_uid), "--no-sandbox")):
            with server.Server(OCHRE, self.data, arguments) as running:
                for status in status_of_threads(running):
                    self.assertEqual(status["Uid"].split(), [str(NOBODY.pw_uid)] * 4)
                    self.assertEqual(status["Gid"].split(), [str(NOBODY.pw_gid)] * 4)
                    self.assertEqual(status["Groups"], "")
                    self.assertEqual(int(status["CapEff"], 16), 0)
                call(running, DATABASE + "/collections",
                     {"name": "things", "get_or_create": True})
        self.assertEqual({x.stat().st_uid for x in self.data.rglob("*")}, {NOBODY.pw_uid})

    @unittest.skipUnless(os.geteuid() == 0, "only root can give a directory away")
    def test_a_directory_of_somebody_else_is_refused(self):
        os.chmod(self.scratch, 0o755)
        self.data.mkdir(mode=0o700)
        message = self.refused("--user", "nobody")
        self.assertIn(f'directory "{self.data}" cannot be used by user {NOBODY.pw_uid}', message)
        shutil.chown(self.data, NOBODY.pw_uid)
        self.assertIn("cannot be used by user 0", self.refused()) # root has no capabilities left
        self.assertEqual(list(self.data.iterdir()), [])


def missing():
    """Why this build and kernel have no whole sandbox; "" when they have one."""
    with tempfile.TemporaryDirectory(prefix="ochre-sandbox-") as scratch:
        with server.Server(OCHRE, scratch + "/data") as running:
            if running.facts()["sandbox"] == "on":
                return ""
        return "\n".join(x for x in running.log_tail().splitlines() if "server.sandbox" in x)


if __name__ == "__main__":
    OCHRE = os.path.abspath(sys.argv.pop(1))
    why = missing()
    if why:
        print("SKIPPED: the sandbox is not whole here:\n" + why)
        sys.exit(SKIPPED)
    unittest.main()
