#!/usr/bin/env python3
"""A server under mixed load and faults for a long time, checked all the while.

    soak.py BINARY [--seconds 3600] [--seed N] [--clients 4] [--out DIR]

Each client is a process with a tenant of its own and a naive model (tests/model) of all
that is in it, and besides writes and reads its own records in one collection that all of
them share: every answer is compared.  Meanwhile the server is compacted, backed up,
killed, stopped and continued, its disk is filled (a tmpfs; root only), and connections
break off within a request or before its answer.  A request that was cut off by a kill
happened wholly or not at all, and whatever was acknowledged is there.

Fails on a wrong answer, a lost write, an end of the server that nobody caused, a check or
a restored backup that is not sound, and beyond the bounds in `BOUNDS`: open files,
resident memory, disk.  Standard library only.
"""
import argparse
import json
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
import types
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "model"))
import generate  # noqa: E402
import model as naive  # noqa: E402
import run as programs  # noqa: E402
import transport  # noqa: E402

sys.path.insert(0, str(HERE.parent / "support"))
import server  # noqa: E402

TMPFS_MB = 512
COMMON_DIM = 16
RECORDS_MAX = 12000   # of one client, past which it deletes
BOUNDS = {
    "open files": "96, 2 for each client and 2 for each file of records",
    "resident": "192 MiB, and in one life no more than 1.25 times + 32 MiB from its second "
                "quarter to its last, of lives of 5 minutes and more",
    "disk": "320 MiB, the reserve included",
    "recall": "on average that of the collections' targets less .01, where an answer may be "
              "approximate"}
RESIDENT_MB_MAX, DISK_MB_MAX = 192, 320
RECALL_SLACK = 0.01
GROWTH, GROWTH_MB, LIFE_MIN_S = 1.25, 32, 300
FULL_GRACE_S = 10  # after space is back, until a write has to be taken


# --- one client ---------------------------------------------------------------------

class Wire(transport.HttpTransport):
    """To a server that somebody else starts and kills."""

    def __init__(self, port):
        self.server = types.SimpleNamespace(port=port, log_tail=lambda: "")
        self.connection = None

    def stop(self):
        self._close()
        return 0


class Client(programs.Program):
    def __init__(self, number, seed, shared):
        super().__init__(seed, None, False, False)
        self.number, self.shared = number, shared
        self.transport = Wire(shared.port)
        self.epoch = shared.epoch.value
        self.tenant = f"client {number}"
        self.model.tenants = {self.tenant}
        self.model.databases = {self.tenant: {"mine"}}
        self.bulked = set()
        # Of the nearest, where approximate answers were allowed: found, asked, promised.
        self.found = [0, 0, 0]
        self.broken_off = {}  # id -> value and whether it was acknowledged
        self.common = naive.Model()
        self.common.collections = [self.joined("common", shared.common)]
        self.side = self.joined("side", shared.side)

    @staticmethod
    def joined(name, collection_id):
        c = naive.Collection(name, naive.DEFAULT_TENANT, naive.DEFAULT_DATABASE)
        c.id, c.dimension = collection_id, COMMON_DIM
        return c

    # --- requests ---------------------------------------------------------------------

    def next_request(self):
        """A request and the model that answers it."""
        if self.rng.random() < 0.3:
            return self.common_request(), self.common
        if not self.model.collections:
            return self.generator.create_collection(self.model), self.model
        if sum(len(c.records) for c in self.model.collections) > RECORDS_MAX:
            return self.shrink(), self.model
        if self.rng.random() < 0.05:
            return self.generator.broken(self.model, ), self.model
        kinds = [("add", 14), ("upsert", 12), ("update", 10), ("delete", 7), ("get", 20),
                 ("query", 20), ("count", 3), ("create_collection", 2), ("get_collection", 3),
                 ("modify_collection", 2), ("listing", 3), ("delete_collection", 0.7),
                 ("bulk", 1)]
        kind, = self.rng.choices([k for k, _ in kinds], [w for _, w in kinds])
        request = getattr(self.generator, kind)(self.model)
        if kind == "bulk" and request["op"] == "add":
            self.bulked.add(request["collection"])
        if kind == "query" and request["collection"] in self.bulked:
            request["body"]["exact"] = True  # what a model can foretell
        if len(self.model.collections) > 6 and kind == "create_collection":
            request = self.generator.delete_collection(self.model)
        return request, self.model

    def shrink(self):
        """Delete most of the largest collection, or all of it."""
        c = max(self.model.collections, key=lambda other: len(other.records))
        if self.rng.random() < 0.3:
            return {**self.generator.at("delete_collection", c), "collection": c.name}
        where = {"$or": [{"i": {"$gte": self.rng.randint(0, 3)}}, {"i": {"$lt": -1}}]}
        if self.rng.random() < 0.5:
            ids = list(c.records)
            return self.generator.at("delete", c, {"ids": ids[::2] + ids[1::4]})
        if "i" not in c.keys or c.disabled or c.disabled_defaults:
            return {**self.generator.at("delete_collection", c), "collection": c.name}
        return self.generator.at("delete", c, {"where": where})

    def common_request(self):
        c = self.common.collections[0]
        rng, mine = self.rng, {"owner": self.number}
        op = rng.choices(["add", "upsert", "update", "delete", "get", "query"],
                         [4, 4, 2, 2, 4, 4])[0]
        ids = [f"c{self.number}-{rng.randrange(400)}" for _ in range(rng.randint(1, 20))]
        if op in ("get", "query"):
            body = {"where": {"$and": [mine, {"v": {"$gt": rng.randint(0, 900)}}]},
                    "include": ["documents", "metadatas"]}
            if op == "query":
                body.update(query_embeddings=[self.common_vector()], exact=True,
                            n_results=rng.randint(1, 20))
            return self.generator.at(op, c, body)
        if op == "delete":
            return self.generator.at(op, c, {"ids": ids})
        body = {"ids": ids, "metadatas": [{**mine, "v": rng.randint(0, 999)} for _ in ids],
                "embeddings": [self.common_vector() for _ in ids],
                "documents": [f"text {rng.random()}" for _ in ids]}
        return self.generator.at(op, c, body, base64=rng.random() < 0.5)

    def common_vector(self):
        return [self.rng.randint(-6, 6) / 2 for _ in range(COMMON_DIM)]

    # --- one step -----------------------------------------------------------------------

    def step_once(self):
        if self.rng.random() < 0.03:
            self.break_off()
            return
        if self.rng.random() < 0.03:
            self.approximate()
            return
        request, model = self.next_request()
        self.request = request
        op = request["op"]
        self.counts[op] = self.counts.get(op, 0) + 1
        begin = time.monotonic()
        epoch = self.wait_until_up()
        plain = {k: v for k, v in request.items() if k != "expect"}
        try:
            answer = self.transport.send(plain)
        except transport.Gone as gone:
            self.uncertain(request, model, epoch, gone)
            return
        if answer[0] in (503, 507) and self.was_full(begin):
            self.counts["refused, disk full"] = self.counts.get("refused, disk full", 0) + 1
            self.comparison.error(*answer)
        elif "expect" in request:
            programs.require(answer[0] == request["expect"], "status", answer[0], "instead of",
                             request["expect"], "body", answer[1])
        else:
            self.comparison.answer(request, model.answer(request), answer)

    def wait_until_up(self):
        """The server's life in which a request is about to be sent."""
        epoch = self.shared.epoch.value
        programs.require(self.shared.up.wait(120), "the server is not there again after 120 s")
        if epoch != self.epoch:  # a connection of another life is none
            self.transport.stop()
            self.epoch = epoch
        return epoch

    def was_full(self, begin):
        """Was the disk full at any time since `begin`, or until a moment before?"""
        return self.shared.full_until.value + FULL_GRACE_S > begin

    def uncertain(self, request, model, epoch, gone):
        """Cut off by a kill: what was asked happened wholly or not at all."""
        deadline = time.monotonic() + 10
        while self.shared.epoch.value == epoch:
            programs.require(time.monotonic() < deadline, "cut off, though nobody killed:", gone)
            time.sleep(0.01)
        self.counts["cut off"] = self.counts.get("cut off", 0) + 1
        before, after = model.copy(), model
        if "expect" not in request:
            after.answer(request)
        try:
            self.settle()
        except programs.Different as neither:
            if model is self.model:
                self.model = before
            else:
                self.common = before
            try:
                self.settle()
            except programs.Different as e:
                raise programs.Different(f"neither done ({neither}) nor undone ({e})") from e

    def settle(self):
        """Compare everything, however often the server is killed meanwhile."""
        while True:
            try:
                self.wait_until_up()
                self.everything()
                return
            except transport.Gone:
                time.sleep(0.05)

    def everything(self):
        super().everything()
        c = self.common.collections[0]
        request = self.generator.at("get", c, {"where": {"owner": self.number},
                                               "include": ["documents", "metadatas",
                                                           "embeddings"]})
        self.comparison.answer(request, self.common.answer(request), self.transport.send(request))
        status, got = self.transport.send(self.generator.at(
            "get", self.side, {"where": {"owner": self.number}, "include": ["documents"]}))
        programs.require(status == 200, "status", status, got)
        there = dict(zip(got["ids"], got["documents"]))
        for record_id, (text, batch) in self.broken_off.items():
            if record_id in there:
                programs.require(there[record_id] == text, record_id, there[record_id])
            whole = sum(i in there for i in batch)
            programs.require(whole in (0, len(batch)), "half of a request is there:", batch)
        programs.require(set(there) <= set(self.broken_off), "records that nobody wrote",
                         sorted(set(there) - set(self.broken_off))[:5])

    # --- what is not foretold --------------------------------------------------------------

    def break_off(self):
        """A request of which half is sent, or whose answer nobody waits for."""
        n = len(self.broken_off)
        if n > 2000:
            return
        batch = [f"s{self.number}-{n + i}" for i in range(self.rng.randint(2, 30))]
        half = self.rng.random() < 0.5
        body = json.dumps({"ids": batch, "documents": [f"of {i}" for i in batch],
                           "metadatas": [{"owner": self.number} for _ in batch],
                           "embeddings": [self.common_vector() for _ in batch]}).encode()
        path = transport.ROUTES["add"][1].format(
            tenant=self.side.tenant, database=self.side.database, collection=self.side.id)
        head = (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        message = head + body
        if half:
            message = message[:self.rng.randrange(len(message))]
        else:
            self.broken_off.update({i: (f"of {i}", batch) for i in batch})
        try:
            with socket.create_connection(("127.0.0.1", self.shared.port), timeout=10) as s:
                s.sendall(message)
                if self.rng.random() < 0.5:  # a reset instead of an orderly end
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass  # just killed
        name = "half a request" if half else "answer not waited for"
        self.counts[name] = self.counts.get(name, 0) + 1

    def vector_like_those_of(self, c):
        """Recall is promised, and measured, for queries that are distributed as records are."""
        one, other = (r.vector for r in self.rng.sample(list(c.records.values()), 2))
        share = self.rng.random() * 0.2
        return [(1 - share) * float(a) + share * float(b) for a, b in zip(one, other)]

    def approximate(self):
        """How many of the nearest does an answer have that may be approximate?"""
        large = [c for c in self.model.collections if len(c.records) > 1000]
        if not large:
            return
        c = self.rng.choice(large)
        request = self.generator.at("query", c, {
            "query_embeddings": [self.vector_like_those_of(c)],
            "n_results": 10, "include": ["distances"]})
        epoch = self.wait_until_up()
        try:
            status, got = self.transport.send(request)
        except transport.Gone:
            programs.require(self.shared.up.wait(120) and self.shared.epoch.value != epoch,
                             "cut off, though nobody killed")
            return
        programs.require(status == 200, "status", status, got)
        _, want = self.model.answer(request)
        hits = want["ranked"][0]
        by_id = {r.id: d for d, r in hits}
        programs.require(len(got["ids"][0]) == 10, "hits", got)
        worst = hits[9][0] + 1e-4 * (1 + abs(hits[9][0]))  # inner products' may be negative
        programs.require(all(i in by_id for i in got["ids"][0]), "a hit that should not be", got)
        self.found[0] += sum(by_id[i] <= worst for i in got["ids"][0])
        self.found[1] += 10
        self.found[2] += 10 * c.recall_target

    # --- its process ---------------------------------------------------------------------

    def prepare(self):
        for request in ({"op": "create_tenant", "body": {"name": self.tenant}},
                        {"op": "create_database", "tenant": self.tenant,
                         "body": {"name": "mine"}}):
            status, body = self.transport.send(request)
            programs.require(status == 200, "status", status, body)

    def work(self, asked, told):
        """Work until asked otherwise; then compare everything as often as asked."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        problem = None
        try:
            self.prepare()
            while not asked.poll():
                self.step_once()
                self.step += 1
                if self.step % 50 == 0:
                    told.send(("did", sum(self.counts.values())))
            while True:
                port = asked.recv()
                if port is None:
                    break
                self.transport.stop()
                self.transport.server.port = self.shared.port = port
                self.everything()
                told.send(("same", port))
        except Exception as e:
            expected = isinstance(e, (programs.Different, transport.Gone))
            problem = self.report(e if expected else traceback.format_exc())
        told.send(("end", {"problem": problem, "counts": self.counts, "found": self.found}))


# --- the server, and what happens to it -----------------------------------------------

class Soak:
    def __init__(self, args):
        self.args = args
        self.rng = random.Random(args.seed)
        self.out = pathlib.Path(args.out).resolve()
        shutil.rmtree(self.out, ignore_errors=True)
        self.disk = self.out / "disk"
        self.disk.mkdir(parents=True)
        self.mounted = self.mount()
        self.backup = self.out / "backup"
        self.server = server.Server(args.binary, self.disk / "data",
                                    ("--backup-dir", str(self.backup)))
        self.server.log = str(self.out / "server.log")
        self.faults, self.problems, self.samples, self.lives = {}, [], [], []
        self.counts = {}

    def mount(self):
        if os.geteuid() != 0:
            print("not root: no tmpfs, the disk is never full", flush=True)
            return False
        return subprocess.call(["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MB}m", "tmpfs",
                                str(self.disk)]) == 0

    def unmount(self):
        if self.mounted:
            subprocess.call(["umount", str(self.disk)])

    def post(self, path, body=b"", timeout=300):
        request = urllib.request.Request(self.server.base + path, body,
                                         {"Content-Type": "application/json"}, method="POST")
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)

    def ochre(self, *arguments):
        return subprocess.run([self.args.binary, *map(str, arguments)], capture_output=True,
                              text=True, timeout=600, check=False)

    def fail(self, *what):
        self.problems.append(" ".join(str(w) for w in what))
        print("FAILED", self.problems[-1], flush=True)
        if len(self.problems) == 1:
            print(self.threads() + self.server.log_tail(1500), flush=True)

    def threads(self):
        """What each thread of the server waits for: a line each."""
        lines = []
        try:
            tasks = pathlib.Path("/proc", str(self.server.process.pid), "task")
            for task in sorted(tasks.iterdir()):
                what = [(task / name).read_text().strip() for name in ("comm", "wchan", "syscall")]
                state = (task / "stat").read_text().rpartition(")")[2].split()[0]
                lines.append(" ".join(["thread", state, *what]))
        except (OSError, AttributeError) as e:  # it has ended
            lines.append(f"no threads: {e!r}")
        return "\n".join(lines) + "\n"

    # --- figures -----------------------------------------------------------------------

    def sample(self, begin):
        pid = self.server.process.pid
        try:
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                rss = next(int(x.split()[1]) for x in file if x.startswith("VmRSS")) / 1024
            files = len(os.listdir(f"/proc/{pid}/fd"))
        except (OSError, StopIteration):
            return
        size = n_segments = 0
        for place, dirs, names in os.walk(self.disk / "data"):
            for name in dirs + names:
                try:
                    size += os.lstat(os.path.join(place, name)).st_blocks * 512
                    n_segments += name.endswith(".seg")
                except OSError:
                    continue  # removed meanwhile, as whole directories are
        row = {"s": round(time.monotonic() - begin), "rss_mb": round(rss, 1), "files": files,
               "segments": n_segments, "disk_mb": round(size / 2 ** 20, 1)}
        self.samples.append(row)
        self.life.append((time.monotonic() - self.born, rss))
        if rss > RESIDENT_MB_MAX:
            self.fail("resident", row)
        if files > 96 + 2 * self.args.clients + 2 * n_segments:
            self.fail("open files", row)
        if size > DISK_MB_MAX << 20:
            self.fail("disk", row)

    def show(self):
        row = self.samples[-1]
        print(f"{row['s']:6} s  {sum(self.done):8} operations  {sum(self.faults.values()):4} "
              f"faults  {row['rss_mb']:6.1f} MiB  {row['files']:4} files  "
              f"{row['disk_mb']:6.1f} MiB on disk", flush=True)

    def end_life(self):
        """Of a long life: did memory grow from its second quarter to its last?"""
        age = self.life[-1][0] if self.life else 0
        quarter = lambda n: [r for t, r in self.life if n <= 4 * t / age < n + 1 or  # noqa: E731
                             (n == 3 and t == age)]
        if age >= LIFE_MIN_S and quarter(1):
            early = sum(quarter(1)) / len(quarter(1))
            late = sum(quarter(3)) / len(quarter(3))
            self.lives.append([round(age), round(early, 1), round(late, 1)])
            if late > GROWTH * early + GROWTH_MB:
                self.fail("memory grew in one life: seconds, then MiB,", self.lives[-1])

    # --- faults --------------------------------------------------------------------------

    def start(self):
        self.server.start()
        self.born, self.life = time.monotonic(), []

    def kill(self):
        self.shared.up.clear()
        with self.shared.epoch.get_lock():
            self.shared.epoch.value += 1
        self.end_life()
        self.server.kill()
        if self.rng.random() < 0.3:
            done = self.ochre("check", "--quiet", self.disk / "data")
            if done.returncode != 0:
                self.fail("check after a kill:", done.stdout, done.stderr)
            self.faults["check"] = self.faults.get("check", 0) + 1
        self.start()
        self.shared.up.set()

    def pause(self):
        os.kill(self.server.process.pid, signal.SIGSTOP)
        time.sleep(self.rng.uniform(0.1, 2))
        os.kill(self.server.process.pid, signal.SIGCONT)

    def fill(self):
        """No more than a few pages are left, for some seconds; perhaps it is killed then."""
        if not self.mounted:
            return self.pause()
        self.shared.full_until.value = float("inf")
        ballast = self.disk / "ballast"
        left = self.rng.choice([0, 0, 64, 512, 2048]) << 10
        end = time.monotonic() + self.rng.uniform(1, 6)
        killed = False
        while time.monotonic() < end:  # what the server gives back is taken as well
            free = os.statvfs(self.disk)
            with open(ballast, "ab") as file:
                try:
                    os.posix_fallocate(file.fileno(), file.tell(), max(
                        1, free.f_bavail * free.f_frsize - left))
                except OSError:
                    pass
            time.sleep(0.2)
            if not killed and self.rng.random() < 0.03:
                killed = True
                self.kill()
                self.faults["kill, disk full"] = self.faults.get("kill, disk full", 0) + 1
        ballast.unlink()
        self.shared.full_until.value = time.monotonic()

    def compact(self):
        try:
            self.post("/ochre/v1/compact")
        except urllib.error.HTTPError as e:
            self.fail("compact:", e.code, e.read())

    def back_up(self):
        made = self.post("/ochre/v1/backup")
        if self.rng.random() < 0.3:
            again = self.out / "again"
            shutil.rmtree(again, ignore_errors=True)
            for command in (("restore", self.backup, again), ("check", "--quiet", again)):
                done = self.ochre(*command)
                if done.returncode != 0:
                    self.fail(command[0], "of a backup:", done.stdout, done.stderr, made)

    # --- the course of it ------------------------------------------------------------------

    def prepare(self):
        self.start()
        base = "/api/v2/tenants/default_tenant/databases/default_database/collections"
        context = multiprocessing
        self.shared = types.SimpleNamespace(
            port=self.server.port, epoch=context.Value("L", 0), up=context.Event(),
            full_until=context.Value("d", float("-inf")),
            **{name: self.post(base, json.dumps({"name": name}).encode())["id"]
               for name in ("common", "side")})
        self.shared.up.set()
        self.done = [0] * self.args.clients
        self.clients = []
        for i in range(self.args.clients):
            asked, ask = multiprocessing.Pipe(False)
            tell, told = multiprocessing.Pipe(False)
            client = Client(i, self.args.seed * 1000 + i, self.shared)
            process = multiprocessing.Process(target=client.work, args=(asked, told))
            process.start()
            told.close()
            self.clients.append(types.SimpleNamespace(process=process, ask=ask, tell=tell,
                                                      ended=None))

    def listen(self, seconds):
        """Hear what clients say, for so long or until one has ended."""
        ready = multiprocessing.connection.wait(
            [c.tell for c in self.clients if c.ended is None], seconds)
        for i, client in enumerate(self.clients):
            if client.tell not in ready:
                continue
            try:
                word, value = client.tell.recv()
            except EOFError:
                word, value = "end", {"problem": "it died", "counts": {}, "found": [0, 0, 0]}
            if word == "did":
                self.done[i] = value
            elif word == "same":
                client.same = value
            elif word == "end":
                client.ended = value
                if value["problem"] is not None:
                    self.fail(f"client {i}:", value["problem"])

    def harass(self, begin):
        end = begin + self.args.seconds
        kinds = [self.kill, self.pause, self.fill, self.kill, self.compact, self.back_up]
        deck = []
        next_sample = next_line = begin
        next_fault = begin + 2
        quiet_until = begin
        while time.monotonic() < end and not self.problems:
            self.listen(0.2)
            now = time.monotonic()
            if self.server.process.poll() is not None:
                self.fail("the server ended by itself, status", self.server.process.returncode,
                          self.server.log_tail(1500))
                return
            if now >= next_sample:
                self.sample(begin)
                next_sample = now + (2 if self.args.seconds < 600 else 10)
            if now >= next_line:
                self.show()
                next_line = now + (10 if self.args.seconds < 600 else 60)
            if now < next_fault:
                continue
            if not deck:  # each in its turn, so that a short run has them all
                deck = self.rng.sample(kinds, len(kinds))
            fault = deck.pop()
            if fault == self.kill and now < quiet_until:
                fault = self.pause
            fault()
            self.faults[fault.__name__] = self.faults.get(fault.__name__, 0) + 1
            next_fault = time.monotonic() + self.rng.uniform(0.5, 5)
            # One life in ten is long enough to see whether memory grows.
            if fault == self.kill and self.rng.random() < 0.1 and self.args.seconds >= 1800:
                quiet_until = time.monotonic() + LIFE_MIN_S * 1.5

    def compare_all(self, port):
        """Nobody writes any more: every client compares everything, with this server."""
        for client in self.clients:
            client.same = None
            if client.ended is None:
                client.ask.send(port)
        deadline = time.monotonic() + 300
        while any(c.ended is None and c.same != port for c in self.clients):
            self.listen(1)
            if time.monotonic() > deadline:
                self.fail("clients did not compare within 300 s")
                return

    def finish(self):
        """Everything, after a gentle restart, a check and from a backup."""
        self.compare_all(self.server.port)
        status = self.server.restart(kill=False)
        if status != 0:
            self.fail("exit status", status, self.server.log_tail(1500))
        self.compare_all(self.server.port)
        self.back_up()
        again = self.out / "again"
        shutil.rmtree(again, ignore_errors=True)
        done = self.ochre("restore", self.backup, again)
        if done.returncode != 0:
            self.fail("restore:", done.stderr)
        status = self.server.stop()
        if status != 0:
            self.fail("exit status", status, self.server.log_tail(1500))
        done = self.ochre("check", self.disk / "data")
        if done.returncode != 0:
            self.fail("check:", done.stdout, done.stderr)
        with server.Server(self.args.binary, again) as restored:
            self.compare_all(restored.port)

    def close(self):
        for client in self.clients:
            try:
                client.ask.send(None)
            except OSError:
                continue
        deadline = time.monotonic() + 60
        while any(c.ended is None for c in self.clients) and time.monotonic() < deadline:
            self.listen(1)
        for client in self.clients:
            if client.process.is_alive() and client.ended is None:
                client.process.kill()
            client.process.join()
        if self.server.process is not None:
            self.server.kill()
        self.unmount()

    def summary(self):
        found = [sum(x) for x in zip(*(c.ended["found"] for c in self.clients if c.ended))]
        for client in self.clients:
            for kind, n in (client.ended or {"counts": {}})["counts"].items():
                self.counts[kind] = self.counts.get(kind, 0) + n
        recall = promised = None
        if found and found[1] >= 500:
            recall, promised = (round(x / found[1], 4) for x in (found[0], found[2]))
            if recall < promised - RECALL_SLACK:
                self.fail("recall", recall, "instead of", promised, "in", found[1])
        result = {"seconds": self.args.seconds, "seed": self.args.seed,
                  "operations": sum(self.counts.values()), "by kind": self.counts,
                  "faults": self.faults, "recall": recall, "recall promised": promised,
                  "most": {k: max((s[k] for s in self.samples), default=0)
                           for k in ("rss_mb", "files", "segments", "disk_mb")},
                  "long lives (s, MiB early, MiB late)": self.lives,
                  "bounds": BOUNDS, "problems": self.problems}
        print(json.dumps(result, indent=1, ensure_ascii=False))
        with open(self.out / "result.json", "w", encoding="utf-8") as file:
            json.dump({**result, "samples": self.samples}, file, indent=1)
        print("soak: " + ("FAILED" if self.problems else "holds")
              + f", {result['operations']} operations, {sum(self.faults.values())} faults, "
              f"seed {self.args.seed}")
        return 1 if self.problems else 0

    def run(self):
        self.clients = []
        try:
            self.prepare()
            self.harass(time.monotonic())
            if not self.problems:
                self.finish()
        except Exception:
            self.fail(traceback.format_exc(), self.server.log_tail(1500))
        finally:
            self.close()
        return self.summary()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=None, help="from the clock; printed")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--out", default="build/soak")
    args = parser.parse_args()
    args.binary = os.path.abspath(args.binary)
    if args.seed is None:
        args.seed = int(time.time())
    print(f"{args.seconds} s, seed {args.seed}, {args.clients} clients", flush=True)
    return Soak(args).run()


if __name__ == "__main__":
    sys.exit(main())
