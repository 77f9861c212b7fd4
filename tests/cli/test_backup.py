#!/usr/bin/env python3
"""Backup and restore with the real program: test_backup.py build/release/ochre

Standard library only.
"""
import datetime
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
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


def post(running, path, body):
    request = urllib.request.Request(running.base + DATABASE + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def add(running, collection, first, n):
    ids = [f"id-{i}" for i in range(first, first + n)]
    post(running, f"/collections/{collection}/add",
         {"ids": ids, "documents": [f"text of {i}" for i in ids],
          "embeddings": [[i, i % 7, i % 3] for i in range(first, first + n)]})


def read(running, collection):
    answer = post(running, f"/collections/{collection}/get",
                  {"include": ["documents", "embeddings"]})
    return [answer["ids"], answer["documents"], answer["embeddings"]]


class Backup(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ochre-backup-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.data, self.backup = self.scratch / "data", self.scratch / "backup"
        with server.Server(OCHRE, self.data) as running:
            self.collection = post(running, "/collections", {"name": "things"})["id"]
            add(running, self.collection, 0, 500)
            self.records = read(running, self.collection)

    def restored(self, where):
        with server.Server(OCHRE, where) as running:
            return read(running, self.collection)

    def test_what_is_restored_is_served(self):
        done = ochre("backup", self.data, self.backup)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, "backed up and verified; [0-9]+ files")
        done = ochre("restore", self.backup, self.scratch / "again")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(ochre("check", self.scratch / "again").returncode, 0)
        self.assertEqual(self.restored(self.scratch / "again"), self.records)

    def test_forks_share_files_again_when_they_are_restored(self):
        with server.Server(OCHRE, self.data) as running:
            fork = post(running, f"/collections/{self.collection}/fork", {"new_name": "fork"})
        self.assertEqual(ochre("backup", self.data, self.backup).returncode, 0)
        again = self.scratch / "again"
        self.assertEqual(ochre("restore", self.backup, again).returncode, 0)
        files = list((again / "seg").glob("*/*.seg"))
        self.assertEqual((len(files), {f.stat().st_nlink for f in files}), (2, {2}))
        self.assertEqual(len({f.stat().st_ino for f in files}), 1)
        self.assertEqual(self.restored(again), self.records)
        with server.Server(OCHRE, again) as running:
            self.assertEqual(read(running, fork["id"]), self.records)
        self.assertEqual(ochre("check", again).returncode, 0)

    def test_a_killed_servers_directory_is_backed_up_with_all_it_acknowledged(self):
        running = server.Server(OCHRE, self.data)
        running.start()
        add(running, self.collection, 500, 100)
        records = read(running, self.collection)
        running.kill()
        self.assertEqual(ochre("backup", self.data, self.backup).returncode, 0)
        self.assertEqual(ochre("restore", self.backup, self.scratch / "again").returncode, 0)
        self.assertEqual(self.restored(self.scratch / "again"), records)

    def test_a_running_servers_directory_is_refused(self):
        with server.Server(OCHRE, self.data) as running:
            done = ochre("backup", self.data, self.backup, "--json")
            self.assertEqual(done.returncode, 73)
            self.assertIn(f"pid {running.process.pid}", done.stderr)
            self.assertEqual(json.loads(done.stdout)["result"], "in_use")
            self.assertEqual(read(running, self.collection), self.records)

    def ask_for(self, running, what):
        request = urllib.request.Request(running.base + "/ochre/v1/" + what, b"", method="POST")
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def ask_for_backup(self, running):
        return self.ask_for(running, "backup")

    def test_a_server_backs_up_what_it_has_while_it_is_written_to(self):
        arguments = ("--backup-dir", str(self.backup))
        with server.Server(OCHRE, self.data, arguments) as running:
            first = 500
            done, stop = [first], threading.Event()

            def write():
                while not stop.is_set():
                    add(running, self.collection, done[0], 200)
                    done[0] += 200

            writer = threading.Thread(target=write)
            writer.start()
            try:
                for i in range(3):
                    while done[0] < first + 1000:
                        self.assertTrue(writer.is_alive())
                        time.sleep(0.01)
                    first = done[0]
                    made = self.ask_for_backup(running)
                    last = done[0] + 200  # the one on its way may be in it
                    self.assertGreater(made["files_copied"], 0)
                    again = self.scratch / f"again-{i}"
                    self.assertEqual(ochre("restore", self.backup, again).returncode, 0)
                    self.assertEqual(ochre("check", again).returncode, 0)
                    ids = self.restored(again)[0]
                    self.assertEqual(ids, [f"id-{j}" for j in range(len(ids))])
                    self.assertTrue(first <= len(ids) <= last, (first, len(ids), last))
            finally:
                stop.set()
                writer.join()

    def test_a_log_that_lost_its_end_is_not_backed_up(self):
        """Nothing in the log says so: its newest records are zeros."""
        with server.Server(OCHRE, self.data, ("--backup-dir", str(self.backup))) as running:
            add(running, self.collection, 500, 10)
            self.ask_for_backup(running)
            before = {x: x.read_bytes() for x in self.backup.rglob("*") if x.is_file()}
            newest = max((self.data / "log").glob("*.log"), key=lambda x: (
                any(x.read_bytes()[4096:]), x.name))
            whole = newest.read_bytes()
            add(running, self.collection, 510, 10)
            for kept in (0, 4096, len(whole.rstrip(b"\0")) + 4095 & ~4095):
                now = newest.read_bytes()
                newest.write_bytes(now[:kept] + bytes(len(now) - kept))
                with self.assertRaises(urllib.error.HTTPError) as refused:
                    self.ask_for_backup(running)
                refused.exception.close()
                newest.write_bytes(now)
            self.assertEqual({x: x.read_bytes() for x in self.backup.rglob("*") if x.is_file()},
                             before)
            self.assertEqual(len(read(running, self.collection)[0]), 520)
            self.ask_for_backup(running)

    def test_a_server_without_a_place_for_backups_refuses(self):
        with server.Server(OCHRE, self.data) as running:
            with self.assertRaises(urllib.error.HTTPError) as refused:
                self.ask_for_backup(running)
            self.assertEqual(refused.exception.code, 403)
            self.assertIn("--backup-dir", json.load(refused.exception)["message"])
            self.assertEqual(read(running, self.collection), self.records)

    def piped(self, backup, restore):
        """Two commands with a pipe between them; what each exited with and said."""
        first = subprocess.Popen([OCHRE, *map(str, backup)], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        second = subprocess.Popen([OCHRE, *map(str, restore)], stdin=first.stdout,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        first.stdout.close()
        said = second.communicate(timeout=120)
        with first:
            complaint = first.stderr.read().decode()
        return first.returncode, complaint, second.returncode, *said

    def test_a_directory_goes_through_a_pipe(self):
        again = self.scratch / "again"
        done = self.piped(("backup", "--path", self.data, "--to", "-"),
                          ("restore", "--from", "-", "--path", again))
        self.assertEqual((done[:3], done[4]), ((0, "", 0), ""))
        self.assertRegex(done[3], "again: restored; [0-9]+ files")
        self.assertEqual(ochre("check", again).returncode, 0)
        self.assertEqual(self.restored(again), self.records)
        self.assertEqual(sorted(x.name for x in self.scratch.iterdir() if x.is_dir()), ["again", "data"])
        # Into an empty directory that is there, as a mounted volume is; and by position.
        there = self.scratch / "there"
        there.mkdir()
        done = self.piped(("backup", self.data, "-", "--json"), ("restore", "-", there, "--json"))
        self.assertEqual((done[0], done[2], done[4]), (0, 0, ""))
        sent, restored = json.loads(done[1]), json.loads(done[3])
        self.assertEqual((sent["result"], restored["result"]), ("ok", "ok"))
        self.assertEqual((sent["files"], sent["bytes"]), (restored["files"], restored["bytes"]))
        self.assertEqual(self.restored(there), self.records)

    def test_a_database_in_use_goes_through_a_pipe_and_over_http(self):
        with server.Server(OCHRE, self.data) as running:
            done, stop = [500], threading.Event()

            def write():
                while not stop.is_set():
                    add(running, self.collection, done[0], 200)
                    done[0] += 200

            def over_http(again):
                with urllib.request.urlopen(running.base + "/ochre/v1/backup",
                                            timeout=120) as answer:
                    size = int(answer.headers["Content-Length"])
                    stream = answer.read()
                self.assertEqual(len(stream), size)
                made = subprocess.run([OCHRE, "restore", "-", again], input=stream,
                                      capture_output=True, timeout=120, check=False)
                self.assertEqual((made.returncode, made.stderr), (0, b""))

            def through_a_pipe(again):
                made = self.piped(("backup", self.data, "-"), ("restore", "-", again))
                self.assertEqual((made[:3], made[4]), ((0, "", 0), ""))

            writer = threading.Thread(target=write)
            writer.start()
            try:
                for i, way in enumerate((over_http, through_a_pipe, over_http, through_a_pipe)):
                    first = done[0]
                    while done[0] < first + 600:
                        self.assertTrue(writer.is_alive())
                        time.sleep(0.01)
                    first = done[0]
                    again = self.scratch / f"again-{i}"
                    way(again)
                    last = done[0] + 200  # the one on its way may be in it
                    self.assertEqual(ochre("check", again).returncode, 0)
                    ids = self.restored(again)[0]
                    self.assertEqual(ids, [f"id-{j}" for j in range(len(ids))])
                    self.assertTrue(first <= len(ids) <= last, (first, len(ids), last))
            finally:
                stop.set()
                writer.join()

    def test_a_cut_or_damaged_stream_leaves_nothing(self):
        whole = subprocess.run([OCHRE, "backup", self.data, "-"], capture_output=True, timeout=120,
                               check=True).stdout
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:]
        there = self.scratch / "there"
        there.mkdir()
        for stream, code, said in ((whole[:middle], 1, "cut"), (b"", 1, "cut"),
                                   (flipped, 1, "checksum"), (whole + b"x", 1, "behind its end"),
                                   (b"x" * 5000, 2, "not a backup")):
            for target in (self.scratch / "again", there):
                done = subprocess.run([OCHRE, "restore", "-", target], input=stream,
                                      capture_output=True, timeout=120, check=False)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(said, done.stderr.decode())
            self.assertEqual(sorted(x.name for x in self.scratch.iterdir() if x.is_dir()), ["data", "there"])
            self.assertEqual(list(there.iterdir()), [])

    def test_what_a_killed_restore_left_is_made_good_and_nothing_else(self):
        whole = subprocess.run([OCHRE, "backup", self.data, "-"], capture_output=True, timeout=120,
                               check=True).stdout
        again, part = self.scratch / "again", self.scratch / "again.restoring"

        def restore(*options):
            return subprocess.run([OCHRE, "restore", *options, "-", again], input=whole,
                                  capture_output=True, timeout=120, check=False)

        for options in ((), ("--json",)):
            with subprocess.Popen([OCHRE, "restore", "-", again], stdin=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL) as killed:
                killed.stdin.write(whole[:len(whole) // 2])
                killed.stdin.flush()
                while not (part / "data" / "tmp").exists():
                    time.sleep(0.01)
                self.assertEqual(restore().returncode, 73)
                killed.kill()
            self.assertTrue((part / "data").exists())
            done = restore(*options)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            if options:
                self.assertTrue(json.loads(done.stdout)["leftover_removed"])
            else:
                self.assertIn("what an interrupted restore had left was removed",
                              done.stdout.decode())
            self.assertFalse(part.exists())
            self.assertEqual(self.restored(again), self.records)
            shutil.rmtree(again)
        # What is whole, and nobody's leftover, stays.
        self.assertEqual(restore().returncode, 0)
        again.rename(part)
        done = restore()
        self.assertEqual(done.returncode, 2)
        self.assertIn("again.restoring", done.stderr.decode())
        self.assertEqual(self.restored(part), self.records)

    def test_a_reader_that_hangs_up_ends_the_backup(self):
        first = subprocess.Popen([OCHRE, "backup", self.data, "-"], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        first.stdout.close()
        with first:
            self.assertNotEqual(first.wait(timeout=120), 0)

    def test_any_moment_since_a_backup_comes_back(self):
        def now():
            time.sleep(0.15)  # times in the log are a tenth of a second apart
            said = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            time.sleep(0.15)
            return said

        archive = self.scratch / "archive"
        settings = self.scratch / "settings.yaml"
        settings.write_text("archive_seconds: 1\n")
        arguments = ("--archive", str(archive), "--backup-dir", str(self.backup), str(settings))
        moments = []
        with server.Server(OCHRE, self.data, arguments) as running:
            self.ask_for_backup(running)
            for first in (500, 600):
                add(running, self.collection, first, 100)
                moments.append((now(), read(running, self.collection)))
            fork = post(running, f"/collections/{self.collection}/fork", {"new_name": "fork"})
            request = urllib.request.Request(running.base + DATABASE + "/collections/things",
                                             method="DELETE")
            with urllib.request.urlopen(request, timeout=60):
                pass
            with urllib.request.urlopen(running.base + "/ochre/v1/stats", timeout=60) as answer:
                self.assertGreater(json.load(answer)["totals"]["log_lsn"], 0)
        for i, (moment, records) in enumerate(moments):
            again = self.scratch / f"again-{i}"
            done = ochre("restore", "--from", self.backup, "--archive", archive, "--until", moment,
                         "--path", again)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(ochre("check", again).returncode, 0)
            self.assertEqual(self.restored(again), records)
        again = self.scratch / "again-now"
        self.assertEqual(ochre("restore", self.backup, again, "--archive", archive).returncode, 0)
        with server.Server(OCHRE, again) as running:
            self.assertEqual(read(running, fork["id"]), moments[1][1])
            with self.assertRaises(urllib.error.HTTPError) as gone:
                read(running, self.collection)
            self.assertEqual(gone.exception.code, 404)
        # What was restored goes on by itself.
        refused = ochre("run", "--path", again, "--archive", archive, "--port", "0")
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertIn("another history", refused.stderr)
        # What cannot be had is refused, and leaves nothing.
        before = sorted(x.name for x in self.scratch.iterdir())
        for until, said in (("2030-01-01T00:00:00Z", "ends before"), ("99999", "ends at record"),
                            ("2020-01-01T00:00:00Z", "use an older one"), ("noon", "no time")):
            done = ochre("restore", self.backup, self.scratch / "none", "--archive", archive,
                         "--until", until)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(said, done.stderr)
        max((archive / "log").iterdir()).unlink()
        done = ochre("restore", self.backup, self.scratch / "none", "--archive", archive)
        self.assertEqual(done.returncode, 1)
        self.assertIn("missing", done.stderr)
        self.assertEqual(sorted(x.name for x in self.scratch.iterdir()), before)

    def test_a_backup_that_came_after_the_moment_is_refused(self):
        """Its log was just begun, and does not say when."""
        archive, again = self.scratch / "archive", self.scratch / "again"
        arguments = ("--archive", str(archive), "--backup-dir", str(self.backup))
        with server.Server(OCHRE, self.data, arguments) as running:
            add(running, self.collection, 500, 10)
            time.sleep(0.3)
            moment = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            time.sleep(0.3)
            add(running, self.collection, 510, 10)
            self.ask_for(running, "purge")
        with server.Server(OCHRE, self.data, arguments) as running:
            self.ask_for(running, "purge")
            self.ask_for_backup(running)
            time.sleep(0.3)
            add(running, self.collection, 520, 10)
        done = ochre("restore", "--archive", archive, "--until", moment, self.backup, again)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("of a later moment", done.stderr)
        self.assertFalse((again / "FORMAT").exists())
        done = ochre("restore", "--archive", archive, "--until", "now", self.backup, again)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.restored(again)[0]), 530)

    def test_an_archive_that_missed_a_part_of_the_log_is_refused(self):
        first, second = self.scratch / "first", self.scratch / "second"
        with server.Server(OCHRE, self.data, ("--archive", str(first))) as running:
            add(running, self.collection, 500, 10)
        with server.Server(OCHRE, self.data, ("--archive", str(second))) as running:
            add(running, self.collection, 510, 10)
        with server.Server(OCHRE, self.data, ("--archive", str(second))) as running:
            self.ask_for(running, "purge")
            add(running, self.collection, 520, 10)
        with self.assertRaisesRegex(RuntimeError, "the archive ends before record"):
            with server.Server(OCHRE, self.data, ("--archive", str(first))):
                pass
        with server.Server(OCHRE, self.data, ("--archive", str(second))) as running:
            self.assertEqual(len(read(running, self.collection)[0]), 530)

    def test_json_says_what_was_copied_and_the_second_time_less(self):
        first = json.loads(ochre("backup", self.data, self.backup, "--json").stdout)
        self.assertEqual(first["result"], "ok")
        self.assertEqual(first["files"], first["files_copied"])
        self.assertGreater(first["bytes"], 500 * 3 * 4)
        second = json.loads(ochre("backup", self.data, self.backup, "--json").stdout)
        self.assertEqual((second["files"], second["files_copied"]), (first["files"], 0))

    def test_check_says_in_json_what_it_found(self):
        done = ochre("check", "--json", self.data)
        said = json.loads(done.stdout)
        self.assertEqual((done.returncode, said["result"], said["message"]), (0, "sound", ""))
        self.assertEqual([x for x in said["findings"] if x["kind"] == "damaged"], [])
        self.assertGreaterEqual(said["collections"], 1)
        log = min((self.data / "log").iterdir())
        with open(log, "r+b") as file:
            file.seek(4096 + 100)
            file.write(b"\0\1\2\3")
        done = ochre("check", "--json", self.data)
        said = json.loads(done.stdout)
        self.assertEqual((done.returncode, said["result"]), (1, "damaged"))
        self.assertIn("log", [x["path"] for x in said["findings"] if x["kind"] == "damaged"])
        with server.Server(OCHRE, self.scratch / "other"):
            done = ochre("check", "--json", self.scratch / "other")
            self.assertEqual((done.returncode, json.loads(done.stdout)["result"]), (0, "sound"))

    def test_compacting_and_purging_change_nothing_that_is_read(self):
        for verb, said in (("compact", "compacted"), ("purge", "purged")):
            done = ochre(verb, self.data)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn(said, done.stdout)
            self.assertEqual(self.restored(self.data), self.records)
            self.assertEqual(ochre(verb, self.scratch / "none").returncode, 2)
        with server.Server(OCHRE, self.data) as running:
            self.assertEqual(ochre("purge", self.data).returncode, 73)
            for verb in ("compact", "purge"):
                request = urllib.request.Request(f"{running.base}/ochre/v1/{verb}", b"",
                                                 method="POST")
                with urllib.request.urlopen(request, timeout=60) as answer:
                    self.assertEqual(json.load(answer), {})
            self.assertEqual(read(running, self.collection), self.records)

    def test_a_damaged_backup_is_refused_by_name_and_nothing_is_made(self):
        self.assertEqual(ochre("backup", self.data, self.backup).returncode, 0)
        largest = max((self.backup / "files").iterdir(), key=lambda x: x.stat().st_size)
        with open(largest, "r+b") as file:
            file.seek(100)
            byte = file.read(1)
            file.seek(100)
            file.write(bytes([byte[0] ^ 1]))
        done = ochre("restore", self.backup, self.scratch / "again")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"files/{largest.name}", done.stderr)
        self.assertFalse((self.scratch / "again").exists())

    def test_a_directory_with_something_in_it_is_never_written_to(self):
        self.assertEqual(ochre("backup", self.data, self.backup).returncode, 0)
        precious = self.scratch / "precious"
        precious.mkdir()
        (precious / "letter").write_text("dear")
        for done in (ochre("restore", self.backup, precious),
                     ochre("backup", self.data, precious),
                     ochre("restore", self.backup, self.data)):
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, "not empty|has a database already|not a backup")
        self.assertEqual([x.name for x in precious.iterdir()], ["letter"])
        self.assertEqual(self.restored(self.data), self.records)

    def test_arguments_are_checked(self):
        for arguments in (("backup",), ("backup", self.data), ("restore", "a", "b", "c"),
                          ("backup", self.scratch / "none", self.backup),
                          ("restore", self.scratch / "none", self.backup),
                          ("backup", "-", self.backup), ("restore", self.data, "-"),
                          ("backup", self.data, "--to", self.backup, self.backup),
                          ("backup", "--path", self.data), ("restore", "--from", "-"),
                          ("restore", "a", "b", "--until", "now")):
            self.assertEqual(ochre(*arguments).returncode, 2, arguments)
        self.assertFalse(self.backup.exists())


if __name__ == "__main__":
    OCHRE = sys.argv.pop(1)
    unittest.main()
