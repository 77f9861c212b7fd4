#!/usr/bin/env python3
"""Pins under the tools, with the real program: test_pins.py build/release/ochre

A random history of a collection, pinned here and there, and what each pin must show: written
down when it was pinned, in lists.  Whatever is done to the directory afterwards, each pin shows
that, to the last record and in order, or an error.  Standard library only.
"""
import contextlib
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import server  # noqa: E402

OCHRE = ""
PLACE = "/tenants/default_tenant/databases/default_database/collections"
SECRET = "a text that somebody wants gone"


def ochre(*arguments, **options):
    return subprocess.run([OCHRE, *map(str, arguments)], capture_output=True, timeout=120,
                          check=False, **options)


def ask(running, path, body=None, method=None):
    request = urllib.request.Request(running.base + path,
                                     None if body is None else json.dumps(body).encode(),
                                     {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer), answer.headers


def records(running, collection, op, body):
    return ask(running, f"/api/v2{PLACE}/{collection}/{op}", body)


class History:
    """One collection, and what each of its pins is to show."""

    def __init__(self, running, seed, name="things"):
        self.rng = random.Random(seed)
        self.seed = seed
        self.id = ask(running, f"/api/v2{PLACE}", {"name": name})[0]["id"]
        self.now = {}  # id: (embedding, document), in order of insertion
        self.pins = {}  # name: (position, what is to be shown)

    def write(self, running):
        if self.now and self.rng.random() < 0.3:
            gone = self.rng.sample(sorted(self.now), self.rng.randint(1, min(9, len(self.now))))
            records(running, self.id, "delete", {"ids": gone})
            for one in gone:
                del self.now[one]
            return
        ids = [f"id-{i}" for i in self.rng.sample(range(300), self.rng.randint(1, 40))]
        vectors = [[self.rng.randint(-9, 9) for _ in range(3)] for _ in ids]
        texts = [f"{one} says {self.rng.random()}" for one in ids]
        records(running, self.id, "upsert",
                {"ids": ids, "embeddings": vectors, "documents": texts})
        self.now.update(zip(ids, zip(vectors, texts)))

    def pin(self, running, name):
        made = ask(running, f"/ochre/v1{PLACE}/{self.id}/pins", {"name": name})[0]
        self.pins[name] = (made["position"], dict(self.now))

    def unpin(self, running, name):
        ask(running, f"/ochre/v1{PLACE}/{self.id}/pins/{name}", method="DELETE")
        return self.pins.pop(name)

    def live(self, running, n_pins):
        for i in range(n_pins):
            for _ in range(self.rng.randint(1, 6)):
                self.write(running)
            self.pin(running, f"pin-{i}")
            if self.rng.random() < 0.3:
                running.restart(kill=self.rng.random() < 0.5)
        for _ in range(self.rng.randint(1, 6)):
            self.write(running)

    def listed(self, running):
        return {p["name"]: p["position"]
                for p in ask(running, f"/ochre/v1{PLACE}/{self.id}/pins")[0]}


class Pins(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ochre-pins-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.data = self.scratch / "data"

    @contextlib.contextmanager
    def lived(self, seed, n_pins=5, arguments=()):
        with server.Server(OCHRE, self.data, arguments) as running:
            history = History(running, seed)
            history.live(running, n_pins)
            yield running, history

    def done(self, *arguments, **options):
        done = ochre(*arguments, **options)
        self.assertEqual((done.returncode, done.stderr), (0, b""), arguments)
        return done.stdout

    def check_state(self, running, collection, state, as_of=None, position=None):
        body = {"include": ["documents", "embeddings"]}
        body |= {} if as_of is None else {"as_of": as_of}
        got, headers = records(running, collection, "get", body)
        self.assertEqual(list(zip(got["ids"], got["embeddings"], got["documents"])),
                         [(one, *state[one]) for one in state])
        if position is not None:
            self.assertEqual(int(headers["Ochre-Position"]), position)
        at = "" if as_of is None else f"?as_of={as_of}"
        n = ask(running, f"/api/v2{PLACE}/{collection}/count{at}")[0]
        self.assertEqual(n, len(state))
        found = records(running, collection, "query",
                        body | {"query_embeddings": [[1, 2, 3]], "n_results": 1000})[0]
        self.assertEqual(sorted(found["ids"][0]), sorted(state))

    def check(self, running, history):
        self.check_state(running, history.id, history.now)
        self.assertEqual(history.listed(running), {n: p for n, (p, _) in history.pins.items()})
        for position, state in history.pins.values():
            self.check_state(running, history.id, state, position, position)

    def check_directory(self, directory, *histories):
        """Sound, and everything is there: also after a kill, and beside a reader."""
        self.assertEqual(ochre("check", directory).returncode, 0)
        with server.Server(OCHRE, directory) as running:
            for history in histories:
                self.check(running, history)
            with server.Server(OCHRE, directory, ("--read-only",)) as reader:
                for history in histories:
                    self.check(reader, history)
            running.restart(kill=True)
            for history in histories:
                self.check(running, history)

    def refused(self, code, function, *arguments):
        with self.assertRaises(urllib.error.HTTPError) as refused:
            function(*arguments)
        self.assertEqual(refused.exception.code, code)
        return json.load(refused.exception)["message"]

    # --- copies --------------------------------------------------------------------

    def test_a_backup_has_the_pins_and_each_later_one_those_of_its_time(self):
        backup = self.scratch / "backup"
        for turn in range(3):
            if turn == 0:
                with self.lived(1) as (running, history):
                    pass
            else:
                with server.Server(OCHRE, self.data) as running:
                    history.unpin(running, f"pin-{turn}")
                    history.write(running)
                    history.pin(running, f"later-{turn}")
                    ask(running, "/ochre/v1/compact", {})
            self.done("backup", self.data, backup)
            self.done("restore", backup, self.scratch / f"again-{turn}")
            self.check_directory(self.scratch / f"again-{turn}", history)
        self.check_directory(self.data, history)

    def test_a_stream_of_a_running_server_has_the_pins(self):
        with self.lived(2) as (running, history):
            with urllib.request.urlopen(running.base + "/ochre/v1/backup", timeout=60) as answer:
                stream = answer.read()
            whole = self.done("backup", self.data, "-")
        for i, one in enumerate((stream, whole)):
            self.done("restore", "-", self.scratch / f"again-{i}", input=one)
            self.check_directory(self.scratch / f"again-{i}", history)

    def test_an_archive_gives_back_the_pins_of_each_moment(self):
        archive, backup = self.scratch / "archive", self.scratch / "backup"
        settings = self.scratch / "settings.yaml"
        settings.write_text("archive_seconds: 1\n")
        arguments = ("--archive", str(archive), "--backup-dir", str(backup), str(settings))
        moments = []
        with self.lived(3, 2, arguments) as (running, history):
            ask(running, "/ochre/v1/backup", {})
            for i in range(4):
                history.write(running)
                history.pin(running, f"archived-{i}")
                if i == 2:
                    history.unpin(running, "archived-0")
                    history.unpin(running, "pin-0")
                history.write(running)
                if i % 2 == 1:
                    ask(running, "/ochre/v1/compact", {})
                lsn = ask(running, "/ochre/v1/stats")[0]["totals"]["log_lsn"]
                moments.append((lsn, dict(history.now), dict(history.pins)))
        for i, (lsn, now, pins) in enumerate(moments):
            again = self.scratch / f"again-{i}"
            self.done("restore", "--from", backup, "--archive", archive, "--until", lsn,
                      "--path", again)
            history.now, history.pins = now, pins
            self.check_directory(again, history)

    # --- what changes files ------------------------------------------------------------

    def test_pins_show_what_they_showed_whatever_is_done_to_the_directory(self):
        for seed in range(10, 13):
            rng = random.Random(seed)
            with self.lived(seed) as (running, history):
                for _ in range(6):
                    step = rng.choice(["compact", "purge", "restart", "kill", "write", "unpin"])
                    if step in ("compact", "purge"):
                        ask(running, f"/ochre/v1/{step}", {})
                    elif step == "write":
                        history.write(running)
                    elif step == "unpin" and history.pins:
                        position, _ = history.unpin(running, rng.choice(sorted(history.pins)))
                    else:
                        running.restart(kill=step == "kill")
                    with self.subTest(seed=seed, step=step):
                        self.check(running, history)
            self.check_directory(self.data, history)
            shutil.rmtree(self.data)

    def test_a_purge_keeps_what_pins_show_and_says_so_until_they_are_gone(self):
        def has_secret():
            return any(SECRET.encode() in path.read_bytes()
                       for path in self.data.rglob("*") if path.is_file())

        with self.lived(20, 2) as (running, history):
            records(running, history.id, "upsert",
                    {"ids": ["s"], "embeddings": [[1, 1, 1]], "documents": [SECRET]})
            history.now["s"] = ([1, 1, 1], SECRET)
            history.pin(running, "with")
            records(running, history.id, "delete", {"ids": ["s"]})
            del history.now["s"]
            history.pin(running, "without")
            self.assertEqual(ask(running, "/ochre/v1/purge", {})[0], {"pins": 4})
            self.assertTrue(has_secret())
            self.check(running, history)
        self.assertIn(b"there are 4", self.done("purge", self.data))
        self.assertTrue(has_secret())
        self.check_directory(self.data, history)
        with server.Server(OCHRE, self.data) as running:
            history.unpin(running, "with")
        self.assertIn(b"there are 3", self.done("purge", self.data))
        self.assertFalse(has_secret())
        self.check_directory(self.data, history)
        with server.Server(OCHRE, self.data) as running:
            for name in sorted(history.pins):
                history.unpin(running, name)
        self.assertTrue(self.done("purge", self.data).endswith(b": purged\n"))
        self.check_directory(self.data, history)

    def test_a_fork_begins_without_pins_and_a_drop_takes_them(self):
        with self.lived(30, 3) as (running, history):
            fork = ask(running, f"/api/v2{PLACE}/{history.id}/fork", {"new_name": "fork"})[0]["id"]
            self.assertEqual(ask(running, f"/ochre/v1{PLACE}/{fork}/pins")[0], [])
            state = dict(history.now)
            running.restart(kill=True)
            for position, _ in history.pins.values():
                self.refused(412, records, running, fork, "get", {"as_of": position})
            mark = ask(running, f"/ochre/v1{PLACE}/{fork}/pins", {"name": "pin-0"})[0]["position"]
            records(running, fork, "delete", {"ids": sorted(state)[:1]})
            ask(running, f"/api/v2{PLACE}/things", method="DELETE")
            self.refused(404, ask, running, f"/ochre/v1{PLACE}/{history.id}/pins")
            for position, _ in history.pins.values():
                self.refused(404, records, running, history.id, "get", {"as_of": position})
            self.assertEqual(ask(running, "/ochre/v1/purge", {})[0], {"pins": 1})
            running.restart(kill=True)
            self.check_state(running, fork, state, mark, mark)
            ask(running, f"/api/v2{PLACE}/fork", method="DELETE")
            self.assertEqual(ask(running, "/ochre/v1/purge", {})[0], {})
        self.assertEqual(ochre("check", self.data).returncode, 0)
        self.assertEqual(list((self.data / "seg").glob("*/*")), [])

    # --- repair ---------------------------------------------------------------------------

    def test_what_a_repair_leaves_of_a_pin_is_right_or_an_error(self):
        """A bit of any file is flipped: a pin shows what it showed, less what is lost, or 412."""
        for seed in range(40, 46):
            with self.lived(seed, 4) as (running, history):
                if seed % 2 == 0:
                    ask(running, "/ochre/v1/purge", {})
            rng = random.Random(seed)
            files = sorted(path for pattern in ("*.seg", "*.del", "*.log")
                           for path in self.data.rglob(pattern))
            victim = rng.choice(files)
            content = bytearray(victim.read_bytes())
            used = len(content.rstrip(b"\0"))
            content[rng.randrange(max(1, used))] ^= 1 << rng.randrange(8)
            victim.unlink()  # which may have another name: each is damaged by itself
            victim.write_bytes(content)
            again = self.scratch / "again"
            said = self.done("repair", self.data, "--to", again).decode()
            self.assertEqual(ochre("check", again).returncode, 0)
            with server.Server(OCHRE, again) as running, \
                    self.subTest(seed=seed, victim=victim.name, said=said):
                self.check_repaired(running, history, said)
            shutil.rmtree(self.data)
            shutil.rmtree(again)

    def check_repaired(self, running, history, said):
        """A pin that is listed shows what it showed; of one that lost something a collection is
        left, with nothing in it that was not pinned.  The names of those."""
        left = []
        listed = history.listed(running)
        for name, (position, state) in history.pins.items():
            self.assertRegex(said, f"things(, pin |[.]){name}(: |[.]unpinned: )")
            if name in listed:
                self.check_state(running, history.id, state, position, position)
                continue
            self.assertIn(f'pin "{name}" of collection "things" lost records', said)
            try:  # the collection itself may know it
                self.check_state(running, history.id, state, position, position)
            except urllib.error.HTTPError as refused:
                with refused:
                    self.assertEqual(refused.code, 412)
            left.append(name)
            beside = ask(running, f"/api/v2{PLACE}/things.{name}.unpinned")[0]["id"]
            got = records(running, beside, "get", {"include": ["documents", "embeddings"]})[0]
            order = iter((one, *state[one]) for one in state)
            for one in zip(got["ids"], got["embeddings"], got["documents"]):
                self.assertTrue(one in order, one)  # and in this order
            records(running, beside, "upsert", {"ids": ["x"], "embeddings": [[1, 2, 3]]})
        return left

    def test_of_a_damaged_pin_a_collection_is_left(self):
        with self.lived(50, 0) as (running, history):
            for _ in range(40):
                history.write(running)
            for name in ("first", "second", "third"):
                ask(running, "/ochre/v1/compact", {})
                gone = sorted(history.now)[:3]
                records(running, history.id, "delete", {"ids": gone})
                for one in gone:
                    del history.now[one]
                history.pin(running, name)
            history.write(running)
        document = history.now[sorted(history.now)[5]][1].encode()
        for seed, suffix in enumerate((".seg", ".del")):
            with self.subTest(suffix=suffix):
                data, again = self.scratch / f"damaged-{seed}", self.scratch / f"again-{seed}"
                shutil.copytree(self.data, data)  # each file by itself
                pins = [path for path in data.rglob("*" + suffix) if path.parent.name != history.id]
                for path in pins:
                    content = path.read_bytes()
                    if suffix == ".del":
                        path.unlink()
                    elif document in content:
                        path.write_bytes(content.replace(document, document.upper()))
                self.assertEqual(len(pins) >= 3, True, pins)
                said = self.done("repair", data, "--to", again).decode()
                self.assertEqual(ochre("check", again).returncode, 0)
                report = json.loads(self.done("repair", data, "--to", self.scratch / f"j-{seed}",
                                              "--json"))
                self.assertEqual(report["lost_something"], True)
                pins = {c["pin"] for c in report["collections"] if "pin" in c}
                with server.Server(OCHRE, again) as running:
                    self.assertEqual(set(history.listed(running)), pins)
                    self.check_state(running, history.id, history.now)
                    self.assertTrue(self.check_repaired(running, history, said))

    # --- upgrade ----------------------------------------------------------------------------

    def test_pins_of_files_of_an_older_form_are_upgraded_and_put_back(self):
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        for golden in ("2026-11-21", "2026-11-27"):
            with tarfile.open(HERE.parent / "golden" / "1" / f"{golden}.tar.xz") as tar:
                tar.extractall(self.scratch, **safe)
            with server.Server(OCHRE, self.data) as running:
                shown = self.pin_all(running)
            old = self.old()
            ids = {place.rsplit("/", 1)[1] for place, _, _ in shown}
            self.assertTrue({line.split("/")[1] for line in old} - ids, old)  # files of pins
            self.done("upgrade", self.data)
            for command in (("--revert",), (), ("--commit",)):
                with self.subTest(golden=golden, next=command):
                    with server.Server(OCHRE, self.data) as running:
                        self.check_all(running, shown)
                    self.done("upgrade", *command, self.data)
                    if command == ("--revert",):
                        self.assertEqual(self.old(), old)
            with server.Server(OCHRE, self.data) as running:
                self.check_all(running, shown)
            self.assertEqual(ochre("check", self.data).returncode, 0)
            shutil.rmtree(self.data)

    def old(self):
        """What would be written anew, but for the catalog, whose copy is made by any opening."""
        said = self.done("upgrade", "--dry-run", self.data).decode()
        return {line for line in said.splitlines() if line.startswith("old seg/")}

    def pin_all(self, running):
        """What each collection shows now; then it is pinned, and all is deleted."""
        out = []
        with open(self.scratch / "expected.json", encoding="utf-8") as file:
            expected = json.load(file)
        for c in expected["collections"]:
            place = (f"/tenants/{urllib.request.quote(c['described']['tenant'], safe='')}"
                     f"/databases/{c['described']['database']}"
                     f"/collections/{c['described']['id']}")
            get = {"include": ["documents", "metadatas", "embeddings", "uris"]}
            got = ask(running, f"/api/v2{place}/get", get)[0]
            made = ask(running, f"/ochre/v1{place}/pins", {"name": "old"})[0]
            if got["ids"]:
                ask(running, f"/api/v2{place}/delete", {"ids": got["ids"][::2]})
            out.append((place, get | {"as_of": made["position"]}, got))
        return out

    def check_all(self, running, shown):
        for place, get, wanted in shown:
            self.assertEqual(ask(running, f"/api/v2{place}/get", get)[0], wanted)


if __name__ == "__main__":
    OCHRE = sys.argv.pop(1)
    unittest.main()
