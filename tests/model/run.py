#!/usr/bin/env python3
"""Random programs over the whole API, compared with a naive model after every step.

    run.py --binary build/release/ochre --programs 500 --seed 1
    run.py --binary build/release/ochre --programs 1 --seed 4711 --verbose     one again
    run.py --library build/release/libochre.so.0 --programs 500               the C API

Each program has a fresh directory and at least 80 operations: writes, reads,
catalog changes, requests that must be refused, gentle and violent restarts,
SIGKILL in the middle of a write.  After a violent end an acknowledged write
must be there, and the one in flight must be there whole or not at all.  A
failure prints the seed, the step, the request and both answers; the exit
status is 1 when any program failed.  Standard library only.
"""
import argparse
import concurrent.futures
import json
import math
import os
import random
import sys
import tempfile
import time
import traceback

import generate
import model as naive
import transport

STEPS_MIN, STEPS_MAX = 80, 140
ERROR_NAMES = {400: "InvalidArgumentError", 404: "NotFoundError", 412: "StaleReadError",
               500: "InternalError"}
WRITES = ("add", "update", "upsert", "delete")
READS = ("get", "query", "count")
COLLECTION_KEYS = {"id", "name", "configuration_json", "schema", "metadata", "dimension", "tenant",
                   "database", "log_position", "version"}


def typed_equal(a, b):
    """Equal, and 1 is not 1.0 is not true."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(typed_equal(x, y) for x, y in zip(a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(typed_equal(a[k], b[k]) for k in a)
    return a == b


class Different(Exception):
    pass


def require(condition, *what):
    if not condition:
        raise Different(" ".join(w if isinstance(w, str) else repr(w) for w in what))


class Comparison:
    """Whether an answer is what the model says; raises Different."""

    def __init__(self, reference):
        self.reference = reference

    def answer(self, request, expected, got):
        status, want = expected
        require(got[0] == status, "status", got[0], "instead of", status, "body", got[1])
        if status >= 400:
            self.error(status, got[1])
        else:
            getattr(self, request["op"], self.plain)(want, got[1])

    @staticmethod
    def error(status, body):
        require(isinstance(body, dict) and body.keys() == {"error", "message"}, "error body", body)
        require(isinstance(body["message"], str) and body["message"] != "", "message", body)
        require(body["error"] == ERROR_NAMES.get(status, "ChromaError"), "error name", body)

    @staticmethod
    def plain(want, got):
        require(typed_equal(want, got), "answer", got, "instead of", want)

    # Catalog ---------------------------------------------------------------

    @staticmethod
    def some(want, got):
        """The members that the model knows."""
        require(isinstance(got, dict) and all(got.get(k) == v for k, v in want.items()),
                "answer", got, "instead of", want)

    get_tenant = some
    get_database = some

    def list_databases(self, want, got):
        require(isinstance(got, list) and len(want) == len(got), "databases", got, want)
        for a, b in zip(want, got):
            self.some(a, b)

    def collection(self, c, got):
        require(isinstance(got, dict) and got.keys() == COLLECTION_KEYS, "collection", got)
        if c.id is None:
            c.id = got["id"]
        want = c.described()
        for key in ("id", "name", "tenant", "database", "dimension"):
            require(got[key] == want[key], key, got[key], "instead of", want[key])
        require(typed_equal(got["metadata"], want["metadata"]), "metadata", got["metadata"],
                "instead of", want["metadata"])
        require(got["configuration_json"] == want["configuration_json"], "configuration",
                got["configuration_json"], "instead of", want["configuration_json"])
        self.schema(c, want["keys"], got["schema"])

    @staticmethod
    def schema(c, keys, schema):
        shown = {k: v for k, v in schema["keys"].items() if not k.startswith("#")}
        require(shown.keys() == keys.keys(), "schema keys", sorted(shown), "instead of",
                sorted(keys))
        for key, kinds in keys.items():
            require(shown[key].keys() == kinds, "types of", key, sorted(shown[key]), "instead of",
                    sorted(kinds))
            for kind in kinds:
                enabled = shown[key][kind][naive.INVERTED[kind]]["enabled"]
                require(enabled == ((key, kind) not in c.disabled), "index of", key, kind, enabled)

    create_collection = collection
    get_collection = collection
    get_collection_by_id = collection
    fork = collection
    fork_count = some

    def pin(self, want, got):
        require(isinstance(got, dict) and
                got.keys() == {"name", "position", "created_unix_s", "bytes"}, "pin", got)
        self.some(want, got)

    def pins(self, want, got):
        require(isinstance(got, list) and len(want) == len(got), "pins", got, "instead of", want)
        for a, b in zip(want, got):
            self.pin(a, b)


    def list_collections(self, want, got):
        require(isinstance(got, list) and len(want) == len(got), "collections",
                [c["name"] for c in got], "instead of", [c.name for c in want])
        if self.reference:
            return  # its order is that of random ids
        for c, shown in zip(want, got):
            self.collection(c, shown)

    # Records ---------------------------------------------------------------

    def columns(self, records, include, got):
        """Each included column, record by record; the others are null."""
        makers = {"documents": lambda r: r.document, "uris": lambda r: r.uri,
                  "metadatas": lambda r: r.metadata or None, "embeddings": lambda r: r.vector}
        for column, value in makers.items():
            if column not in include:
                require(got[column] is None, column, "should be null:", got[column])
                continue
            require(isinstance(got[column], list) and len(got[column]) == len(records), column,
                    got[column])
            for record, shown in zip(records, got[column]):
                want = value(record)
                if column == "embeddings":
                    require(self.same_vector(want, shown), "embedding of", record.id, shown,
                            "instead of", want)
                elif column == "metadatas" and not want and record.uri is not None:
                    require(not shown, "metadata of", record.id, shown)
                else:
                    require(typed_equal(want, shown), column, "of", record.id, shown,
                            "instead of", want)

    def same_vector(self, want, got):
        if len(want) != len(got):
            return False
        if self.reference:
            return all(math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-5) for a, b in zip(want, got))
        return all(a == naive.f32(b) for a, b in zip(want, got))

    def get(self, want, got):
        require(set(got) == {"ids", "embeddings", "documents", "uris", "metadatas", "include",
                             *want.get("more", ())}, "members", sorted(got))
        require(got["ids"] == want["ids"], "ids", got["ids"], "instead of", want["ids"])
        require(got["include"] == want["include"], "include", got["include"])
        self.columns(want["records"], want["include"], got)

    def query(self, want, got):
        columns = {"ids", "embeddings", "documents", "uris", "metadatas", "distances"}
        explained = {"explain"} if want["explain"] is not None else set()
        require(set(got) == columns | {"include"} | explained, "members", sorted(got))
        require(got["include"] == want["include"], "include", got["include"])
        if explained:
            require(len(got["explain"]) == len(want["ranked"]), "explain", got["explain"])
            for one in got["explain"]:
                self.explain(want["explain"], one)
        for column in columns:
            if column == "ids" or column in want["include"]:
                require(isinstance(got[column], list) and len(got[column]) == len(want["ranked"]),
                        column, got[column])
            else:
                require(got[column] is None, column, "should be null:", got[column])
        for i, hits in enumerate(want["ranked"]):
            one = {c: (got[c][i] if got[c] is not None else None) for c in columns}
            self.hits(hits, want["k"], want["space"], want["include"], one)

    def explain(self, want, got):
        """Every row is accounted for, and plans and counts agree with each other."""
        plans = ("empty", "exact_gather", "exact_scan", "graph", "graph_filtered")
        sources = got["sources"]
        require(set(got) == {"plan", "recall_target", "sources"}, "explain", got)
        require(got["recall_target"] == want["recall_target"], "explain", got)
        for count in ("rows", "matches"):
            require(sum(s[count] for s in sources) == want[count], count, got)
        for s in sources:
            require(s["kind"] in ("head", "flat", "graph") and s["plan"] in plans, "explain", s)
            require(s["matches"] <= s["rows"], "explain", s)
            if s["plan"] == "empty":
                require(s["n_distances"] == s["n_estimates"] == s["n_hops"] == 0, "explain", s)
            elif s["plan"].startswith("exact"):
                # A row is measured, or its code says that it need not be.
                looked_at = s["n_distances"] + s["n_estimates"]
                require(looked_at >= s["matches"] > 0, "explain", s)
            require(want["recall_target"] < 1 or not s["plan"].startswith("graph"), "explain", s)
        most = max((plans.index(s["plan"]) for s in sources), default=0)
        require(got["plan"] == plans[most], "explain", got)

    def hits(self, hits, k, space, include, got):
        ids = got["ids"]
        n = min(k, len(hits))
        require(len(ids) == n and len(set(ids)) == n, "number of hits", ids, "instead of", n)
        by_id = {r.id: (d, place, r) for place, (d, r) in enumerate(hits)}
        require(all(i in by_id for i in ids), "a hit that should not be:",
                [i for i in ids if i not in by_id])
        exact = space != "cosine" and all(generate.grid(x) for _, r in hits for x in r.vector)
        if exact and not self.reference:
            want = [r.id for _, r in hits[:n]]
            require(ids == want, "hits", ids, "instead of", want)
        slack = self.slack(space, hits)
        for a, b in zip(ids, ids[1:]):
            require(by_id[a][0] <= by_id[b][0] + slack, "order of", a, b, by_id[a][0], by_id[b][0])
        if n and n < len(hits):
            require(by_id[ids[-1]][0] <= hits[n - 1][0] + slack, "too far:", ids[-1],
                    by_id[ids[-1]][0], "instead of", hits[n - 1][0])
        if not self.reference:
            self.ties(hits, ids)
        if "distances" in include:
            require(len(got["distances"]) == n, "distances", got["distances"])
            for i, shown in zip(ids, got["distances"]):
                require(isinstance(shown, float) and abs(shown - by_id[i][0]) <= slack,
                        "distance of", i, shown, "instead of", by_id[i][0])
        self.columns([by_id[i][2] for i in ids], include, got)

    @staticmethod
    def ties(hits, ids):
        """Records with the same vector come in order of insertion, the first ones first."""
        chosen = {record_id: n for n, record_id in enumerate(ids)}
        groups = {}
        for _, record in hits:
            groups.setdefault(tuple(record.vector), []).append(record.id)
        for group in groups.values():
            places = [chosen.get(i) for i in group]
            found = [p for p in places if p is not None]
            require(found == sorted(found) and None not in places[:len(found)],
                    "equal vectors out of order:", group, places)

    @staticmethod
    def slack(space, hits):
        if space == "cosine":
            return 2e-5
        largest = max((math.fsum(x * x for x in r.vector) for _, r in hits), default=0.0)
        return 2e-5 * (1.0 + 4 * largest)


class Program:
    """One seed: a database, a model, and requests that go to both."""

    def __init__(self, seed, connect, reference, verbose):
        self.seed, self.verbose = seed, verbose
        self.rng = random.Random(seed)
        self.generator = generate.Generator(self.rng, reference)
        self.model = naive.Model()
        self.comparison = Comparison(reference)
        self.connect = connect
        self.step = 0
        self.request = None
        self.counts = {}

    def run(self):
        """None, or what went wrong."""
        with tempfile.TemporaryDirectory(prefix="ochre-model-") as directory:
            self.transport = self.connect(directory)
            try:
                self.transport.start()
                n_steps = self.rng.randint(STEPS_MIN, STEPS_MAX)
                violent, gentle = self.rng.sample(range(10, STEPS_MIN), 2)
                while self.step < n_steps:
                    self.step += 1
                    self.request = self.generator.next(self.model)
                    if self.step in (violent, gentle):
                        self.request = {"op": "restart", "kill": self.step == violent}
                    self.one(self.request)
                self.request = {"op": "restart", "kill": self.rng.random() < 0.5}
                self.one(self.request)
                self.request = {"op": "everything"}
                self.everything()
                status = self.transport.stop()
                require(status == 0, "exit status", status)
            except (Different, transport.Gone, RuntimeError) as e:
                return self.report(e)
            except Exception:  # a bug of ours: show where
                return self.report(traceback.format_exc())
            finally:
                try:
                    self.transport.stop()
                except Exception:  # already reported
                    pass
        return None

    def report(self, problem):
        return (f"seed {self.seed}, step {self.step}: {problem}\n"
                f"  request {json.dumps(self.request)[:1500]}\n"
                f"  log {self.transport.log_tail()[-1500:]}")

    def one(self, request):
        op = request["op"]
        self.counts[op] = self.counts.get(op, 0) + 1
        if self.verbose:
            print(f"{self.step:4} {json.dumps(request)[:300]}", flush=True)
        if op == "restart":
            status = self.transport.restart(request["kill"])
            require(request["kill"] or status == 0, "exit status after SIGTERM", status)
            self.everything()
        elif op == "kill":
            self.kill(request)
        elif op == "pages":
            self.pages(request["get"])
        elif op in ("seal", "compact"):
            if self.transport.name == "capi":
                require(self.transport.send(request)[0] == 200, f"{op} failed")
        elif "expect" in request:
            self.refused(request)
        else:
            self.compare(request)

    def compare(self, request, settles=False):
        """Ask both, and see that positions mean what they should."""
        as_of = request.get("as_of", (request.get("body") or {}).get("as_of"))
        expected, got = self.model.answer(request), self.transport.send(request)
        c = None
        if request["op"] in WRITES + READS:
            c = next((c for c in self.model.collections if c.id == request["collection"]), None)
        if got[0] == 412 and c is not None and as_of is not None and as_of < c.sure_from \
                and as_of not in c.pins.values():
            self.comparison.error(*got)
            self.counts["stale"] = self.counts.get("stale", 0) + 1
            return
        self.comparison.answer(request, expected, got)
        if request["op"] == "pin" and got[0] < 400:
            self.pinned(request, got[1]["position"])
        if c is None or got[0] >= 400 or self.comparison.reference:
            return
        position = self.transport.position
        if as_of is not None:
            self.counts["past reads"] = self.counts.get("past reads", 0) + 1
            require(position == as_of, "position", position, "instead of", as_of)
            return
        require(position is not None and position >= c.position, "position", position, "after",
                c.position)
        require(request["op"] in WRITES or settles or position == c.position, "position",
                position, "instead of", c.position)
        require(c.remember(position), "something else at position", position)

    def pinned(self, request, position):
        """What is pinned is what there is, and stays."""
        c = next(c for c in self.model.collections if c.id == request["collection"])
        require(position >= c.position, "pin at", position, "after", c.position)
        require(c.remember(position), "something else pinned at", position)
        c.pins[request["body"]["name"]] = position

    def pages(self, request):
        """All pages are of one position, whatever is written between them."""
        status, want = self.model.answer(request)
        want = {**want, "records": [r.copy() for r in want.get("records", ())],
                "more": ["cursor"]} if status == 200 else want
        cursor, position, n = "", None, 0
        limit = self.rng.randint(1, 1 + max(1, len((want or {}).get("records", ())) // 2))
        while cursor is not None:
            body = {**request["body"], "cursor": cursor, "limit": limit}
            got = self.transport.send({**request, "body": body})
            records = want["records"][n:n + limit] if status == 200 else []
            page = {**(want or {}), "records": records, "ids": [r.id for r in records]}
            self.comparison.answer(request, (status, page), got)
            if status != 200:
                return
            require(position in (None, self.transport.position), "position", position)
            position, n, cursor = self.transport.position, n + limit, got[1]["cursor"]
            require((cursor is None) == (n >= len(want["records"])), "cursor", cursor)
            for _ in range(self.rng.choice([0, 0, 1, 2])):
                self.one(getattr(self.generator, self.rng.choice(WRITES))(self.model))
            if self.rng.random() < 0.1:
                self.one({"op": self.rng.choice(["seal", "compact"])})

    def refused(self, request):
        self.counts["refused"] = self.counts.get("refused", 0) + 1
        if "text" in request and not self.transport.can_send_text:
            return
        plain = {k: v for k, v in request.items() if k != "expect"}
        status, body = self.transport.send(plain)
        if status is None:
            self.counts["unsayable"] = self.counts.get("unsayable", 0) + 1
            return
        require(status == request["expect"], "status", status, "instead of", request["expect"],
                "body", body)
        self.comparison.error(status, body)

    def kill(self, request):
        """The write in flight happened wholly or not at all; acknowledged, it happened."""
        inner = request["request"]
        before = self.model.copy()
        expected = self.model.answer(inner)
        timer = self.transport.kill_soon(request["seconds"])
        answered = None
        try:
            answered = self.transport.send(inner)
        except transport.Gone:
            pass
        timer.join()
        self.transport.after_kill()
        if answered is not None:
            self.comparison.answer(inner, expected, answered)
            self.everything()
            return
        try:
            self.everything()
        except Different as after:
            self.model = before
            try:
                self.everything()
            except Different as unchanged:
                raise Different(f"neither done ({after}) nor undone ({unchanged})") from unchanged

    def everything(self):
        """All that can be read is what the model holds."""
        for tenant in sorted(self.model.tenants):
            self.check({"op": "get_tenant", "tenant": tenant})
        for tenant in sorted(self.model.databases):
            self.check({"op": "list_databases", "tenant": tenant})
            for database in sorted(self.model.databases[tenant]):
                self.check({"op": "list_collections", "tenant": tenant, "database": database})
        include = ["documents", "metadatas", "embeddings", "uris"]
        for c in self.model.collections:
            self.check(self.generator.at("get", c, {"include": include}))
            self.check(self.generator.at("count", c))
            if self.comparison.reference:
                continue
            self.check(self.generator.at("pins", c))
            for position in c.pins.values():
                self.check(self.generator.at("get", c, {"include": include, "as_of": position}))
        if not self.comparison.reference:
            self.note_positions()

    def note_positions(self):
        """Where a process begins, so does the past that it is sure to have."""
        for c in self.model.collections:
            self.compare(self.generator.at("count", c), settles=True)
            c.sure_from = c.position

    def check(self, request):
        try:
            self.comparison.answer(request, self.model.answer(request),
                                   self.transport.send(request))
        except Different as e:
            raise Different(f"checking all: {json.dumps(request)}: {e}") from e


def run_one(seed, args):
    def connect(directory):
        if args.library:
            return transport.PipeTransport(args.library, directory, args.argument)
        return transport.HttpTransport(args.binary, directory, args.argument)
    program = Program(seed, connect, args.reference, args.verbose)
    return seed, program.run(), program.step, program.counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", help="the server")
    parser.add_argument("--library", help="the shared library, instead of a server")
    parser.add_argument("--argument", action="append", help="one more argument for either "
                        "(the server's default: --allow-reset)")
    parser.add_argument("--programs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of the first program")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--failures", type=int, default=5, help="stop after so many")
    parser.add_argument("--reference", action="store_true",
                        help="judge the model: the server is the reference, not ochre")
    parser.add_argument("--verbose", action="store_true", help="print every request")
    args = parser.parse_args()
    if (args.binary is None) == (args.library is None):
        parser.error("give either --binary or --library")
    if args.argument is None:
        args.argument = [] if args.library else ["--allow-reset"]

    started = time.monotonic()
    failures, steps, counts = [], 0, {}
    seeds = range(args.seed, args.seed + args.programs)
    print(f"{args.programs} programs, seeds {seeds[0]} to {seeds[-1]}", flush=True)
    with concurrent.futures.ProcessPoolExecutor(max_workers=max(1, args.jobs)) as pool:
        pending = [pool.submit(run_one, seed, args) for seed in seeds]
        for done in concurrent.futures.as_completed(pending):
            if done.cancelled():
                continue
            seed, problem, n, kinds = done.result()
            steps += n
            for kind, count in kinds.items():
                counts[kind] = counts.get(kind, 0) + count
            if problem is not None:
                failures.append(seed)
                print(f"FAILED {problem}", flush=True)
                print(f"  again: {' '.join(sys.argv[:1])} ... --programs 1 --seed {seed}",
                      flush=True)
                if len(failures) >= args.failures:
                    for other in pending:
                        other.cancel()
    print(", ".join(f"{kind} {counts[kind]}" for kind in sorted(counts)))
    print(f"{steps} operations, {len(failures)} programs failed"
          + (f": {sorted(failures)}" if failures else "")
          + f", {time.monotonic() - started:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
