#!/usr/bin/env python3
"""Ochre with its indexes beside the official server: the second table.

100,000 records of real text with documents, 384 floats and seven metadata
values: queries with and without filters, gets, count, ingest until indexed,
queries during a load, memory, disk, start; and 1,000,000 x 128.  Recall stands
beside every rate that has one.

Both servers get the same requests from the same driver on the same machine, in
turns (A B A B ...), each pinned to the same processors, the driver pinned to
others; while one is measured the other is stopped (SIGSTOP).  Rates are medians
of --rounds rounds, with the range; loads happen once.

bench/server/run prepares what this needs; see there.

    --only query,get     sections: ingest query filter get start memory mixed million
    --keep               use the loaded directories of an earlier run
    --quick              20,000 records, one short round; prints only
"""
import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

import numpy as np

import bench
from bench import BASE, ROOT, Server, shown

sys.path[1:1] = [str(ROOT / "bench" / "load"), str(ROOT / "bench" / "index")]
import data as sets  # noqa: E402
from vecio import bounds, distances, exact_topk, read_fbin  # noqa: E402

BEGIN, END = "<!-- bench-server-index: begin -->", "<!-- bench-server-index: end -->"
SECTIONS = ["ingest", "query", "filter", "get", "start", "memory", "mixed", "million"]
FILTERS = [("50 %", "b2", 300), ("10 %", "b10", 100), ("1 %", "b100", 150), ("0.1 %", "b1000", 300)]
K = 10
INDEXING_S_MAX = 3600
HEAD_ROWS = 8192
# Ours puts its last segments together after a rest of 150 us a record.
REST_S_PER_RECORD = 0.0002


class Set:
    """A set of vectors: request bodies from it, made once, and the truth about it."""

    def __init__(self, args, name, records, documents):
        self.args, self.name, self.records = args, name, records
        if not sets.make(os.path.join(args.home, "data"), name):
            raise RuntimeError(f"the set {name} could not be made")
        self.path = os.path.join(args.home, "data", name)
        self.documents = self.path + ".docs.jsonl" if documents else None
        self.base = read_fbin(self.path + ".base.fbin")[:records]
        self.queries = np.array(read_fbin(self.path + ".query.fbin"))
        with open(self.path + ".metric", encoding="utf-8") as f:
            self.metric = f.read().strip()
        self.space = "l2" if self.metric == "l2" else "cosine"

    def made(self, name, *words):
        path = os.path.join(self.args.home, "data", f"body-{self.name}-{name}")
        if not os.path.exists(path):
            with open(path + ".new", "wb") as f:
                subprocess.run([os.path.join(self.args.home, "mkbody"), *map(str, words)],
                               check=True, stdout=f)
            os.rename(path + ".new", path)
        return path

    def add(self, first, count, batch, prefix="id"):
        extra = ["-d", self.documents, "-m"] if self.documents else []
        kind = prefix.replace("#", "")
        return self.made(f"add-{kind}-{first}-{count}-{batch}", "add", self.path + ".base.fbin",
                         first, count, batch, "-b", "-p", prefix, *extra)

    def query(self, where=None, include=None):
        words = [*(["-w", json.dumps(where)] if where else []),
                 *(["-i", json.dumps(include)] if include else [])]
        name = "-".join(["query", *(f"{k}.{v}" for k, v in (where or {}).items()),
                         *(include or [])])
        return self.made(name, "query", self.path + ".query.fbin", 1000, K, *words)

    def ids(self, count):
        return self.made(f"ids-{self.records}-{count}", "getids", self.records, 1000, count)

    def lines(self, name, bodies):
        path = os.path.join(self.args.home, "data", f"body-{self.name}-{name}")
        with open(path, "w", encoding="utf-8") as f:
            for body in bodies:
                print(json.dumps(body), file=f)
        return path

    def recall(self, answers, where=None):
        """Share of the answers that are as near as the true tenth; where: (modulus, rest)."""
        allowed = np.arange(self.records)
        if where:
            allowed = allowed[allowed % where[0] == where[1]]
        k = min(K, len(allowed))
        queries = self.queries[:len(answers)]
        truth = allowed[exact_topk(self.base[allowed] if where else self.base, queries, k,
                                   self.metric)]
        limit = bounds(self.base, queries, truth, k, self.metric)
        right = 0
        rows = [[int(i.removeprefix("id")) for i in ids] for ids in answers]
        if where and any(i % where[0] != where[1] for ids in rows for i in ids):
            raise RuntimeError("an answer does not pass the filter")
        for i, near in enumerate(distances(self.base, queries, rows, self.metric)):
            right += int((near <= limit[i]).sum())
        return right / (k * len(answers))


class Work:
    """The servers, and the collection of each that holds a set."""

    def __init__(self, args, servers, data, label):
        self.args, self.servers, self.data, self.label = args, servers, data, label
        self.collection = {}
        self.loads = {}
        for server in servers:
            server.directory = os.path.join(args.home, f"run-{label}-{server.name}")

    def marker(self, server):
        return server.directory + ".collection"

    def alone(self, server):
        for other in self.servers:
            if other.process is not None:
                other.freeze(other is not server)

    def load(self, server, slices, batch):
        """Fills the server, or starts it on what an earlier run left (--keep)."""
        marker = self.marker(server)
        stamp = f"{self.data.name} {self.data.records}"
        if self.args.keep and os.path.exists(marker):
            with open(marker, encoding="utf-8") as f:
                kept = json.load(f)
            if kept["stamp"] == stamp:
                server.start()
                self.collection[server.name] = f"{BASE}/{kept['collection']}"
                server.settle(self.data.records * REST_S_PER_RECORD)
                return
        server.empty()
        if os.path.exists(marker):
            os.unlink(marker)
        server.start()
        identity = server.collection("bench", configuration={"hnsw": {"space": self.data.space}})
        path = self.collection[server.name] = f"{BASE}/{identity}"
        each = self.data.records // slices
        parts = [self.data.add(i * each, each, batch) for i in range(slices)]
        seconds = []
        for part in parts:
            seconds.append(server.load(path + "/add", part, "-1")["sec"])
        acknowledged = time.monotonic()
        waited = max(0, wait_indexed(server, path) - acknowledged)
        self.loads[server.name] = {
            "acknowledged": self.data.records / sum(seconds),
            "indexed": self.data.records / (sum(seconds) + waited),
            "last to first": seconds[0] / seconds[-1], "waited": waited}
        print(f"    {server.name}: {self.data.records:,} records in {sum(seconds):.1f} s, "
              f"indexed {waited:.1f} s later", flush=True)
        server.settle(self.data.records * REST_S_PER_RECORD)
        with open(marker, "w", encoding="utf-8") as f:
            json.dump({"stamp": stamp, "collection": identity}, f)

    def path(self, server, verb):
        return f"{self.collection[server.name]}/{verb}"


def wait_indexed(server, path):
    """Until all is indexed; when that was.  The official server does not say (it answers
    500): its add returns when the record is in the graph.  Ours leaves a last few rows, less
    than a head's, to be scanned: what no longer changes by then was the end."""
    began = changed = time.monotonic()
    last = None
    while True:
        status, body = server.request("GET", path + "/indexing_status")
        now = time.monotonic()
        if status != 200:
            return began
        left = json.loads(body)
        if left["num_unindexed_ops"] != last:
            last, changed = left["num_unindexed_ops"], now
        if last == 0 or (left.get("unindexed_rows", HEAD_ROWS) < HEAD_ROWS and now - changed > 3):
            return changed
        if now - began > INDEXING_S_MAX:
            raise RuntimeError(f"{server.name}: not indexed after {INDEXING_S_MAX} s: {body!r}")
        time.sleep(0.02)


# Measurements: each takes a running, loaded server and gives named numbers ----------

def driven(server, work, verb, bodies, *options):
    figures = server.load(work.path(server, verb), bodies, "-w", min(0.5, work.args.seconds),
                          "-t", work.args.seconds, *options)
    return {"rate": figures["rps"], "p50": figures["p50"] / 1000, "p99": figures["p99"] / 1000}


def queries(clients, where=None, include=None):
    return lambda server, work: driven(server, work, "query", work.data.query(where, include),
                                       "-c", clients)


def recall(where=None, count=1000, include=None):
    """`where`: (key, modulus, rest)."""
    def measure(server, work):
        out = os.path.join(work.args.home, server.name + ".answers")
        bodies = work.data.query({where[0]: where[2]} if where else None, include)
        server.load(work.path(server, "query"), bodies, "-n", count, "-o", out)
        with open(out, encoding="utf-8") as f:
            answers = [json.loads(line)["ids"][0] for line in f if line.strip()]
        os.unlink(out)
        if len(answers) != count:
            raise RuntimeError(f"{server.name}: {len(answers)} answers to {count} queries")
        return {"recall": work.data.recall(answers, where[1:] if where else None)}
    return measure


def get_ids(count):
    return lambda server, work: driven(server, work, "get", work.data.ids(count))


def get_where(server, work):
    bodies = work.data.lines("get-where", [{"where": {"b10": i}, "limit": 10} for i in range(10)])
    return driven(server, work, "get", bodies)


def get_offset(server, work):
    half = work.data.records // 2
    bodies = work.data.lines("get-offset", [{"limit": 10, "offset": half + i} for i in range(100)])
    return driven(server, work, "get", bodies)


def count(server, work):
    return driven(server, work, "count", None, "-m", "GET")


def start(server, work):
    """From starting the process to the first answered query, in ms."""
    server.stop()
    with open(work.data.query(), "rb") as f:
        body = f.readline()
    began = time.monotonic()
    server.start()
    status, answer = server.request("POST", work.path(server, "query"), body)
    elapsed = time.monotonic() - began
    if status != 200 or len(json.loads(answer)["ids"][0]) != K:
        raise RuntimeError(f"{server.name}: {answer[:200]!r}")
    return {"ms": elapsed * 1000}


def resident(server, work):
    server.load(work.path(server, "query"), work.data.query(), "-n", 1000)
    disk = sum(os.stat(os.path.join(root, f)).st_blocks * 512
               for root, _, files in os.walk(server.directory) for f in files)
    return {"memory": server.resident_mib(), "disk": disk / (1 << 20)}


def mixed(server, work):
    """Four clients query a copy of the collection, idle and while one client adds."""
    home = server.directory
    server.stop()
    server.directory = home + "-mixed"
    shutil.rmtree(server.directory, ignore_errors=True)
    shutil.copytree(home, server.directory)
    try:
        server.start()
        options = ("-c", 4, "-w", 0.5, "-t", 2 * work.args.seconds)
        idle = server.load(work.path(server, "query"), work.data.query(), *options)
        bodies = work.data.add(0, 10_000, 1000, "m########-")
        command = server.driver(work.path(server, "add"), bodies, "-u", "-t",
                                2 * work.args.seconds + 2)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as writer:
            time.sleep(0.5)
            busy = server.load(work.path(server, "query"), work.data.query(), *options)
            written = server.measured(*writer.communicate())
        server.stop()
    finally:
        shutil.rmtree(server.directory, ignore_errors=True)
        server.directory = home
    server.start()
    return {"idle": idle["p99"] / 1000, "busy": busy["p99"] / 1000,
            "times": busy["p99"] / idle["p99"], "share": busy["rps"] / idle["rps"],
            "written": written["rps"] * 1000}


# Rows: section, name, unit, key, how the ratio (or, with "own", our own value) is
# judged, the bound, in words ---------------------------------------------------------

def rated(name, bound, p99=None):
    rows = [(f"{name}", "1/s", "rate", ">=", bound, f"at least {bound} x"),
            (f"{name}, p50", "ms", "p50", None, None, "")]
    if p99:
        rows.append((f"{name}, p99", "ms", "p99", "<=", 1 / p99, f"at most 1/{p99}"))
    else:
        rows.append((f"{name}, p99", "ms", "p99", None, None, ""))
    return rows


def recalled(name):
    return [(f"{name}, recall@10", "", "recall", ">=", 1, "equal or better")]


def figures_100k():
    """(section, measure, rounds or None for --rounds, rows)"""
    figures = [
        ("query", recall(), 1, recalled("query, no filter")),
        ("query", queries(1), None, rated("query, 1 client", 10, 6)),
        ("query", queries(16), None, rated("query, 16 clients", 20, 8))]
    for share, key, bound in FILTERS:
        modulus, name = int(key[1:]), f"query, where passes {share}"
        figures += [("filter", recall((key, modulus, 1), 100), 1, recalled(name)),
                    ("filter", queries(1, {key: 1}), None, rated(name, bound))]
    return figures + [
        ("get", get_ids(1), None, rated("get 1 id", 10)),
        ("get", get_ids(10), None, rated("get 10 ids", 15)),
        ("get", get_ids(100), None, rated("get 100 ids", 30)),
        ("get", get_where, None, rated("get where 10 %, limit 10", 200)),
        ("get", get_offset, None, rated("get limit 10, offset half", 150)),
        ("get", count, None, rated("count", 60)),
        ("start", start, None, [("start to first answered query", "ms", "ms", "<=", 0.1,
                                 "at most 1/10")]),
        ("memory", resident, 1, [
            ("resident memory, loaded and queried", "MiB", "memory", "<=", 0.7, "at most 0.7 x"),
            ("disk", "MiB", "disk", "<=", 0.55, "at most 0.55 x")]),
        ("mixed", mixed, 1, [
            ("query p99, 4 clients, idle", "ms", "idle", None, None, ""),
            ("the same during a full-speed load", "ms", "busy", None, None, ""),
            ("p99 during a load to idle", "x", "times", "own <=", 3, "at most 3 x of its own"),
            ("rate during a load to idle", "x", "share", "own >=", 0.5,
             "at least 0.5 x of its own"),
            ("records/s written meanwhile", "1/s", "written", None, None, "")])]


INGEST_ROWS = [
    ("ingest with documents until indexed, batches of 1000", "1/s", "indexed", ">=", 10,
     "at least 10 x"),
    ("ingest with documents, acknowledged", "1/s", "acknowledged", None, None, "")]
MILLION_ROWS = [
    ("1M x 128, ingest until indexed, batches of 5000", "1/s", "indexed", ">=", 4, "at least 4 x"),
    ("1M x 128, ingest, acknowledged", "1/s", "acknowledged", None, None, ""),
    ("1M x 128, rate of the last tenth to the first", "x", "last to first", "own >=", 0.6,
     "at least 0.6 of its own")]


def figures_million():
    distances_only = ["distances"]
    return [
        ("million", recall(None, 1000, distances_only), 1, recalled("1M x 128, query")),
        ("million", queries(1, None, distances_only), None,
         rated("1M x 128, query, 1 client", 5)),
        ("million", queries(16, None, distances_only), None, [
            ("1M x 128, query, 16 clients", "1/s", "rate", None, None, "")]),
        ("million", start, None, [("1M x 128, start to first answered query", "ms", "ms", "<=",
                                   0.1, "at most 1/10")]),
        ("million", resident, 1, [
            ("1M x 128, resident memory", "MiB", "memory", None, None, ""),
            ("1M x 128, disk", "MiB", "disk", None, None, "")])]


# The run -------------------------------------------------------------------------------

class Table:
    """The rows measured so far, kept beside the data: a run of one section replaces its own."""

    def __init__(self, args):
        self.path = os.path.join(args.home, "server-figures" + ("-quick" if args.quick else "") +
                                 ".json")
        self.rows = {}
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as f:
                self.rows = json.load(f)

    def put(self, rows, values):
        """values: server name -> list of the numbers that a measurement gave."""
        for name, unit, key, sense, bound, words in rows:
            sides = {side: [v[key] for v in found] for side, found in values.items()}
            if any(not found for found in sides.values()):
                continue
            ours, theirs = (statistics.median(sides[s]) for s in ("ochre", "chroma"))
            ratio = ours / theirs if theirs else float("inf")
            judged = ours if sense and sense.startswith("own") else ratio
            met = None if sense is None else \
                judged >= bound if sense.endswith(">=") else judged <= bound
            self.rows[name] = {"unit": unit, **sides, "ratio": ratio, "words": words, "met": met,
                               "day": time.strftime("%Y-%m-%d")}
            print(f"  {name}: {ours:.5g} against {theirs:.5g} {unit}: {ratio:.3g} {words} "
                  f"{'' if met is None else 'met' if met else 'NOT MET'}", flush=True)
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            json.dump(self.rows, f, indent=1)
        os.replace(self.path + ".new", self.path)

    def text(self, args, versions):
        order = [row[0] for row in INGEST_ROWS]
        order += [row[0] for _, _, _, rows in figures_100k() for row in rows]
        order += [row[0] for row in MILLION_ROWS]
        order += [row[0] for _, _, _, rows in figures_million() for row in rows]
        days = sorted({r["day"] for r in self.rows.values()})
        lines = [f"Measured {' to '.join(sorted({days[0], days[-1]}))} by `make bench-server` "
                 f"({args.rounds} rounds of {args.seconds:g} s, in turns; medians, with the range "
                 "beside them; loads once).", "", f"Machine: {bench.machine(args)}.", "",
                 f"Servers: {versions['ochre']}; {versions['chroma']} (`chroma run`), both with "
                 f"their default configuration. Records: {args.records:,} of real text (60 words), "
                 "384 floats (LSA, cosine) as base64, the document, seven metadata values; answers "
                 "with documents, metadata and distances. 1M x 128: synthetic, l2, vectors only, "
                 "answers with distances.", "",
                 "| figure | unit | ochre | official server | ratio | wanted | met |",
                 "|---|---|---|---|---|---|---|"]
        for name in order:
            row = self.rows.get(name)
            if row:
                yes = {None: "", True: "yes", False: "**no**"}[row["met"]]
                ours, theirs = (cell(row[s], row["unit"]) for s in ("ochre", "chroma"))
                ratio = "" if "its own" in row["words"] else f"{row['ratio']:.3g}"
                lines.append(f"| {name} | {row['unit']} | {ours} | {theirs} | {ratio} | "
                             f"{row['words']} | {yes} |")
        return "\n".join(lines)


def cell(values, unit):
    if unit == "":
        return f"{statistics.median(values):.4f}"
    return shown(values) if len(values) > 1 else bench.figure(values[0])


def measure_all(work, figures, table, only):
    for section, measure, rounds, rows in figures:
        if section not in only:
            continue
        values = {s.name: [] for s in work.servers}
        for _ in range(rounds or work.args.rounds):
            for server in work.servers:
                work.alone(server)
                values[server.name].append(measure(server, work))
        table.put(rows, values)


def run_set(args, servers, data, label, table, rows, figures, only, slices, batch):
    work = Work(args, servers, data, label)
    try:
        for server in servers:
            for other in servers:
                if other.process is not None:
                    other.freeze()
            work.load(server, slices, batch)
        if rows and len(work.loads) == len(servers):
            table.put(rows, {n: [f] for n, f in work.loads.items()})
        measure_all(work, figures, table, only)
    finally:
        for server in servers:
            if server.process is not None:
                server.freeze(False)
                server.stop()


def versions_of(args):
    def first_line(*command):
        out = subprocess.run(command, check=False, capture_output=True, text=True)
        return (out.stdout or out.stderr).strip().splitlines()[0]
    return {"ochre": first_line(args.ochre, "version"),
            "chroma": "chromadb " + first_line(
                sys.executable, "-c", "import chromadb; print(chromadb.__version__)")}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ochre", required=True, help="our server")
    parser.add_argument("--chroma", required=True, help="the official server")
    parser.add_argument("--home", required=True, help="where data and directories go")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of one round of one figure")
    parser.add_argument("--only", type=lambda s: s.split(","), default=SECTIONS)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--print", action="store_true", help="do not write docs/benchmarks.md")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    args = parser.parse_args()
    unknown = set(args.only) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    args.server_cpus, args.driver_cpus = bench.processors()
    args.records, args.million = 100_000, ("sift128-1m", 1_000_000)
    if args.quick:
        args.rounds, args.seconds = 1, min(args.seconds, 1)
        args.records, args.million = 20_000, ("sift128-100k", 100_000)
    return args


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers are stopped on the way
    servers = [Server(name, [program, "run", "--path", "{dir}", "--port", "{port}"], args)
               for name, program in (("ochre", args.ochre), ("chroma", args.chroma))]
    table = Table(args)
    only = set(args.only)
    if not args.table and only - {"million"}:
        run_set(args, servers, Set(args, "lsa384-100k", args.records, True), "100k", table,
                INGEST_ROWS, figures_100k(), only, 1, 1000)
    if not args.table and "million" in only:
        run_set(args, servers, Set(args, *args.million, False), "million", table, MILLION_ROWS,
                figures_million(), only, 10, 5000)
    text = table.text(args, versions_of(args))
    if args.quick:
        text = f"A quick run: {args.records:,} records, and {args.million[1]:,} x 128 for 1M.\n\n{text}"
    if args.print or args.quick:
        print(f"\n{text}")
    else:
        bench.write_table(text, BEGIN, END)
    return 0 if all(row["met"] is not False for row in table.rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
