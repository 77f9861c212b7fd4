#!/usr/bin/env python3
"""The vector index beside its peers, in process: the figures of docs/benchmarks.md.

Every engine gets the same vectors and queries on the same machine in the same
run, in turns, each in a process of its own (peers.py, ochre.c) pinned to one
processor, two where it says so.  A cell is the median of --rounds rounds.
bench/index/run prepares what this needs; see there.  Standard library only.

    --only build,search,exact,memory   what is measured
    --sets, --engines                  on what, of whom
    --keep-ochre                       without build: ochre's database of an earlier run, too
    --quick                            one round, short, two sets
    --table                            no measuring: the table out of the kept figures
"""
import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time

import data
import peers

ROOT = pathlib.Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- bench-index: begin -->", "<!-- bench-index: end -->"
SETS = ["lsa384-200k", "lsa384-100k", "minilm384-30k", "syn384-100k", "syn768-100k", "syn1536-100k",
        "sift128-100k", "sift128-1m", "mnist784-9k", "sift128-4k"]
QUICK = ["lsa384-100k", "sift128-100k"]
GRAPHS = ["ochre", "graph", "hnswlib", "faiss-hnsw", "usearch"]
SCANS = ["ochre", "faiss-flat", "numpy", "sqlite-vec"]
RECALLS = [0.95, 0.98, 0.99, 0.995, 0.999]
# At this recall on this set, so many times hnswlib's rate.
WANTED = {("lsa384-200k", 0.99): 3, ("sift128-100k", 0.99): 2, ("syn768-100k", 0.999): 4}
WANTED_BUILD = 4
ROWS_OF_SQL = 200_000  # sqlite-vec is not asked to scan more: minutes a figure


class Bench:
    def __init__(self, args):
        self.args, self.at = args, time.strftime("%Y-%m-%d %H:%M")
        self.environment = {k: v for k, v in os.environ.items()
                            if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
        self.environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.fresh = set()  # sets whose database is of this run's ochre
        self.kept = os.path.join(args.home, "index-figures.jsonl")
        self.figures = []
        if os.path.exists(self.kept):
            with open(self.kept, encoding="utf-8") as f:
                self.figures = [json.loads(line) for line in f]

    def run(self, processors, *command):
        """Run a program; the figures that it prints."""
        cpus = sorted(os.sched_getaffinity(0))
        pin = ",".join(map(str, cpus[-processors:]))
        out = subprocess.run(["taskset", "-c", pin, *map(str, command)], env=self.environment,
                             stdout=subprocess.PIPE, text=True, check=False)
        if out.returncode != 0:
            print(f"bench-index: {' '.join(map(str, command))}: status {out.returncode}",
                  file=sys.stderr)
            return []
        return [json.loads(line) for line in out.stdout.splitlines()]

    def keep(self, figures):
        """Newer figures replace older ones of the same thing."""
        def thing(f):
            return (f.get("engine"), f.get("set"), f["what"], f.get("threads"), f.get("batch"))
        new = {thing(f) for f in figures}
        figures = [f | {"at": self.at} for f in figures]
        self.figures = [f for f in self.figures if thing(f) not in new] + figures
        with open(self.kept + ".new", "w", encoding="utf-8") as f:
            for figure in self.figures:
                print(json.dumps(figure), file=f)
        os.replace(self.kept + ".new", self.kept)

    def path(self, name):
        return os.path.join(self.args.home, "data", name)

    def peer(self, threads, engine, name, only, *options):
        return self.run(threads, sys.executable, ROOT / "bench/index/peers.py", engine, name,
                        "--data", os.path.join(self.args.home, "data"),
                        "--cache", self.args.cache, "--only", only, "--threads", threads,
                        "--seconds", self.args.seconds, "--repeats", self.args.repeats, *options)

    def ochre(self, threads, phase, name, *options):
        return self.run(threads, self.args.program, phase, self.path(name),
                        os.path.join(self.args.cache, "ochre-" + name), *options)

    def graph(self, threads, name, what, *options):
        """The index by itself: it is built in every run, and not kept."""
        found = self.run(threads, self.args.graph, self.path(name), "-t", threads, *options)
        return [f for f in found if f["what"] in what]

    # What is measured ---------------------------------------------------------

    def build(self, name):
        for engine in self.engines(GRAPHS):
            for threads in (2, 1):  # the index of one thread is the one kept
                if threads > len(os.sched_getaffinity(0)) or (threads == 2 and self.args.quick):
                    continue
                print(f"  {name}: {engine} builds, threads: {threads}", flush=True)
                if engine == "ochre":
                    shutil.rmtree(os.path.join(self.args.cache, "ochre-" + name),
                                  ignore_errors=True)
                    self.keep(self.ochre(threads, "build", name, "-t", threads))
                    self.fresh.add(name)
                elif engine == "graph":
                    self.keep(self.graph(threads, name, ["build"], "-r", 1))
                else:
                    self.keep(self.peer(threads, engine, name, "build"))

    def made(self, engine, name):
        if engine == "ochre":
            return os.path.isdir(os.path.join(self.args.cache, "ochre-" + name))
        return os.path.exists(os.path.join(self.args.cache, f"{engine}-{name}-16-200"))

    def need(self, engines, name):
        """Builds, without keeping the figures, what an earlier run did not leave."""
        for engine in engines:
            if engine == "graph":
                continue
            stale = engine == "ochre" and not self.args.keep_ochre and name not in self.fresh
            if self.made(engine, name) and not stale:
                continue
            print(f"  {name}: {engine} builds, not measured", flush=True)
            if engine == "ochre":
                shutil.rmtree(os.path.join(self.args.cache, "ochre-" + name), ignore_errors=True)
                self.ochre(2, "build", name, "-t", 2)
                self.fresh.add(name)
            else:
                self.peer(2, engine, name, "build")

    def rounds(self, engines, name, measure):
        """Engines in turns; each point's median over the rounds."""
        seen = {}
        for turn in range(self.args.rounds):
            for engine in engines:
                if engine == "graph" and turn > 0:
                    continue  # it builds first: once is enough
                for f in measure(engine):
                    key = (f["engine"], f["what"], f.get("effort"), f.get("goal"), f.get("batch"))
                    seen.setdefault(key, []).append(f)
        result = []
        for points in seen.values():
            merged = dict(points[0])
            for field in ("qps", "gbps", "recall", "bytes_per_vector"):
                values = [p[field] for p in points if p.get(field) is not None]
                if values:
                    merged[field] = statistics.median(values)
            merged["qps_range"] = [min(p.get("qps", 0) for p in points),
                                   max(p.get("qps", 0) for p in points)]
            result.append(merged)
        self.keep(result)

    def search(self, name):
        engines = self.engines(GRAPHS)
        self.need(engines, name)
        print(f"  {name}: searches", flush=True)
        options = ("-s", self.args.seconds, "-r", self.args.repeats,
                   "-e", ",".join(self.args.efforts),
                   "-g", ",".join(map(str, RECALLS)))

        def measure(engine):
            if engine == "ochre":
                return self.ochre(1, "search", name, *options)
            if engine == "graph":
                return self.graph(1, name, ["search", "goal"], *options)
            return self.peer(1, engine, name, "search", "--efforts", ",".join(self.args.efforts))
        self.rounds(engines, name, measure)

    def exact(self, name):
        engines = self.engines(SCANS)
        if self.rows(name) > ROWS_OF_SQL and "sqlite-vec" in engines:
            engines.remove("sqlite-vec")
        self.need([e for e in engines if e == "ochre"], name)
        print(f"  {name}: exact searches", flush=True)
        options = ("-s", self.args.seconds, "-r", self.args.repeats)
        self.rounds(engines, name, lambda engine: self.ochre(1, "exact", name, *options)
                    if engine == "ochre" else self.peer(1, engine, name, "exact"))

    def stream(self):
        program = os.path.join(self.args.home, "stream")
        found = []
        for mib, threads in ((32, 1), (128, 1), (1024, 1), (1024, 2)):
            found += [f | {"engine": f"{mib} MiB"} for f in self.run(threads, program, mib, threads)]
        self.keep(found)

    def kernels(self):
        found = self.run(1, sys.executable, "-c",
                         "import json, numpy, faiss, threadpoolctl\n"
                         "print(json.dumps({'what': 'kernels', 'info': [[i['internal_api'], "
                         "i.get('architecture'), i['version'], i['filepath'].split('/')[-1]] "
                         "for i in threadpoolctl.threadpool_info()], "
                         "'faiss': faiss.get_compile_options().strip()}))")
        self.keep(found)
        for f in found:
            print("kernel threads and libraries:", f["info"], "faiss:", f["faiss"], flush=True)

    def engines(self, of):
        return [e for e in of if e in self.args.engines]

    def rows(self, name):
        with open(self.path(name + ".base.fbin"), "rb") as f:
            return int.from_bytes(f.read(4), "little")

    def measure(self):
        self.kernels()
        self.stream()
        for name in self.args.sets:
            if not data.make(os.path.join(self.args.home, "data"), name):
                print(f"bench-index: {name} is not there (see data.py)", file=sys.stderr)
                continue
            if "build" in self.args.only:
                self.build(name)
            if "search" in self.args.only or "memory" in self.args.only:
                self.search(name)
            if "exact" in self.args.only:
                self.exact(name)

    # Tables -------------------------------------------------------------------

    def of(self, name, what, engine=None):
        return [f for f in self.figures if f.get("set") == name and f["what"] == what
                and engine in (None, f["engine"])]

    def best(self, name, engine, recall):
        points = [f for f in self.of(name, "search", engine) + self.of(name, "goal", engine)
                  if f["recall"] >= recall]
        return max(points, key=lambda f: f["qps"], default=None)

    def ratio(self, name, engine, recall):
        ours, theirs = (self.best(name, e, recall) for e in (engine, "hnswlib"))
        if not theirs:
            return "–"
        ratio = ours["qps"] / theirs["qps"] if ours else 0
        want = WANTED.get((name, recall)) if engine == "ochre" else None
        return f"**{ratio:.2f} x**" + (f" (wanted ≥ {want}: {met(ratio >= want)})" if want else "")

    def table_search(self, sets):
        lines = ["| set | engine | " + " | ".join(f"recall ≥ {r}" for r in RECALLS) + " |",
                 "|---|---|" + "---|" * len(RECALLS)]
        for name in sets:
            for engine in GRAPHS:
                if not self.of(name, "search", engine) and not self.of(name, "goal", engine):
                    continue
                cells = [self.best(name, engine, r) for r in RECALLS]
                lines.append(f"| {name} | {engine} | " + " | ".join(
                    f"{c['qps']:,.0f} ({dial(c)}, {c['recall']:.4f})" if c else "never"
                    for c in cells) + " |")
            for engine in ("ochre", "graph"):
                if self.of(name, "search", "hnswlib") and (
                        self.of(name, "search", engine) or self.of(name, "goal", engine)):
                    lines.append(f"| {name} | *{engine} / hnswlib* | " + " | ".join(
                        self.ratio(name, engine, r) for r in RECALLS) + " |")
        return lines

    def table_build(self, sets):
        lines = ["| set | engine | inserts/s, one thread | × hnswlib | inserts/s, two threads | "
                 "× hnswlib | bytes a vector in memory |", "|---|---|---|---|---|---|---|"]

        def rate(name, engine, threads):
            found = [f["rate"] for f in self.of(name, "build", engine) if f["threads"] == threads]
            return found[0] if found else None
        for name in sets:
            for engine in GRAPHS:
                cells, any_rate = [], False
                for threads in (1, 2):
                    ours, base = rate(name, engine, threads), rate(name, "hnswlib", threads)
                    any_rate |= ours is not None
                    cells += [f"{ours:,.0f}" if ours else "–",
                              f"{ours / base:.2f}" if ours and base else "–"]
                memory = [f["bytes_per_vector"] for f in self.of(name, "memory", engine)]
                if any_rate or memory:
                    lines.append(f"| {name} | {engine} | " + " | ".join(cells) +
                                 f" | {memory[0]:,.0f} |" if memory else
                                 f"| {name} | {engine} | " + " | ".join(cells) + " | – |")
        return lines

    def table_exact(self, sets):
        stream = {f["mib"]: f["gbps"] for f in self.figures
                  if f["what"] == "stream" and f["threads"] == 1}
        lines = ["| set | engine | one query a call, QPS | GB/s | of the stream | 32 a call, QPS |",
                 "|---|---|---|---|---|---|"]
        for name in sets:
            for engine in SCANS:
                found = {f["batch"]: f for f in self.of(name, "exact", engine)}
                if not found:
                    continue
                size = os.path.getsize(self.path(name + ".base.fbin")) >> 20
                near = min(stream, key=lambda mib: abs(mib - size), default=None)
                one, many = found.get(1), found.get(32)
                share = f"{one['gbps'] / stream[near]:.0%}" if near else "–"
                lines.append(f"| {name} | {engine} | {one['qps']:,.1f} | {one['gbps']:.1f} | "
                             f"{share} | " + (f"{many['qps']:,.0f}" if many else "–") + " |")
        return lines

    def report(self):
        sets = [s for s in SETS if any(f.get("set") == s for f in self.figures)]
        kernels = next((f for f in self.figures if f["what"] == "kernels"), None)
        streams = [f for f in self.figures if f["what"] == "stream"]
        runs = sorted({f["at"] for f in self.figures if f.get("set")})
        lines = [f"Measured by `make bench-index` in the run{'s'[:len(runs) > 1]} of "
                 f"{', '.join(runs)} ({self.args.rounds} rounds, in turns; medians).", "",
                 f"Machine: {machine()}. Memory read as a stream: " + ", ".join(
                     f"{f['mib']} MiB{'' if f['threads'] == 1 else ' each by two threads'} "
                     f"{f['gbps']:.1f} GB/s" for f in streams) + ".", ""]
        with open(ROOT / "bench/index/requirements.txt", encoding="utf-8") as f:
            pinned = [line.strip().replace("==", " ") for line in f
                      if line.startswith(("numpy", "hnswlib", "faiss", "usearch", "sqlite-vec"))]
        lines += ["Peers: " + ", ".join(pinned) + "." + (
            f" Kernels: {'; '.join(f'{a} {b} {c}' for a, b, c, _ in kernels['info'] if b)}; "
            f"faiss {kernels['faiss']}." if kernels else ""), "",
            "Queries a second of processor time, one thread, ten neighbours: the best rate whose "
            "recall@10 reaches the column, with the effort that gave it and the recall reached. "
            "*graph* is ochre's index by itself, without what stands between it and the API.",
            "", *self.table_search(sets), "",
            f"Building (ochre: adding, durable, and merging; wanted ≥ {WANTED_BUILD} × hnswlib), "
            "and memory:", "", *self.table_build(sets), "",
            "Exact search, one thread:", "", *self.table_exact(sets)]
        return "\n".join(lines)


def dial(figure):
    return f"goal {figure['goal']:g}" if figure["what"] == "goal" and figure.get("goal") else \
        f"ef {figure['effort']}" if figure.get("effort") else "exact"


def met(yes):
    return "yes" if yes else "**no**"


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")),
                     platform.machine())
    return f"{model}, {os.cpu_count()} processors, {platform.system()} {platform.release()}"


def write_table(text):
    path = ROOT / "docs" / "benchmarks.md"
    page = path.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN)
    tail = rest.split(END)[1]
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


def listed(text):
    return text.split(",")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--home", required=True)
    parser.add_argument("--program", required=True, help="bench_index")
    parser.add_argument("--graph", required=True, help="bench_graph")
    parser.add_argument("--only", type=listed, default=["build", "search", "exact", "memory"])
    parser.add_argument("--sets", type=listed)
    parser.add_argument("--engines", type=listed, default=sorted({*GRAPHS, *SCANS}))
    parser.add_argument("--efforts", type=listed, help="instead of the usual ones, for all",
                        default=list(map(str, peers.EFFORTS)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep-ochre", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--print", action="store_true", help="leave docs/benchmarks.md alone")
    args = parser.parse_args()
    args.cache = os.path.join(args.home, "cache")
    os.makedirs(args.cache, exist_ok=True)
    args.sets = args.sets or (QUICK if args.quick else SETS)
    if args.quick:
        args.rounds, args.repeats = 1, 1
    bench = Bench(args)
    if not args.table:
        if "search" in args.only and "build" not in args.only:
            print("bench-index: without build, peers' indexes of an earlier run are used")
        bench.measure()
    text = bench.report()
    if args.print or args.quick:
        print(text)
    else:
        write_table(text)


if __name__ == "__main__":
    main()
