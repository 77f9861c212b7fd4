#!/usr/bin/env python3
"""One peer on one set, in a process of its own; one JSON line a figure.

usage: peers.py ENGINE SET --data DIR --cache DIR [--only build,search,exact] [--threads N]

ENGINES
  hnswlib      M 16, ef_construction 200
  faiss-hnsw   HNSW16,Flat, efConstruction 200
  faiss-flat   exact
  usearch      connectivity 16, expansion_add 200, f32
  sqlite-vec   exact, through SQL
  numpy        exact, sgemv or sgemm and argpartition

build   makes the index with --threads threads, says how long, what memory it
        took, and keeps it in --cache; the other phases read it from there.
search  sweeps the effort; recall@10 beside each rate.
exact   one query a call, and 32.

Rates are per second of processor time of this process.  Queries go in batches
to one call with one thread, so that Python is not what is measured; exact
search with one query a call takes milliseconds, against microseconds of
Python.
"""
import argparse
import itertools
import json
import os
import statistics
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "load"))
from vecio import bounds, distances, read_fbin, read_ibin  # noqa: E402

K = 10
M, EF_CONSTRUCTION = 16, 200
EFFORTS = [10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 100, 128, 150, 175, 200, 256, 300,
           350, 400, 500, 600, 700, 800, 1000, 1500, 2000]
TOO_LOW = 0.94   # no rate where the recall is below it
ENOUGH = 0.9995  # no effort beyond the one that reached it


class Set:
    """Vectors, queries and truth.  `base` is mapped: not part of an index's memory."""

    def __init__(self, folder, name):
        path = os.path.join(folder, name)
        self.name = name
        self.base = read_fbin(path + ".base.fbin")
        self.query = np.ascontiguousarray(read_fbin(path + ".query.fbin"))
        self.truth = read_ibin(path + ".gt.ibin")
        with open(path + ".metric", encoding="utf-8") as f:
            self.metric = f.read().strip()
        self.n, self.dim = self.base.shape
        self.bound = bounds(self.base, self.query, self.truth, K, self.metric)

    def recall(self, ids):
        """Share of the answers that are as near as the tenth nearest."""
        found = distances(self.base, self.query, np.asarray(ids)[:, :K], self.metric)
        return float((np.array(found) <= self.bound[:len(found), None]).mean())

    def unit(self):
        """A copy, normalised where the measure is the cosine."""
        x = np.array(self.base)
        return x / np.linalg.norm(x, axis=1, keepdims=True) if self.metric == "cos" else x

    def unit_query(self):
        q = self.query
        return q / np.linalg.norm(q, axis=1, keepdims=True) if self.metric == "cos" else q


def anonymous_bytes():
    with open("/proc/self/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon")) * 1024


# Engines: build(threads), save, load, search(queries, effort) -> ids -------------

class Hnswlib:
    def __init__(self, data):
        import hnswlib
        self.data = data
        self.index = hnswlib.Index("l2" if data.metric == "l2" else "cosine", data.dim)

    def build(self, threads):
        self.index.init_index(self.data.n, M=M, ef_construction=EF_CONSTRUCTION, random_seed=100)
        self.index.set_num_threads(threads)
        for s in range(0, self.data.n, 10_000):  # a slice at a time: no copy of everything
            self.index.add_items(self.data.base[s:s + 10_000],
                                 np.arange(s, min(s + 10_000, self.data.n)), num_threads=threads)

    def save(self, path):
        self.index.save_index(path)

    def load(self, path):
        self.index.load_index(path, max_elements=self.data.n)

    def search(self, queries, effort):
        self.index.set_ef(effort)
        return self.index.knn_query(queries, K, num_threads=1)[0]


class FaissHnsw:
    def __init__(self, data):
        import faiss
        self.faiss, self.data, self.index = faiss, data, None

    def build(self, threads):
        self.faiss.omp_set_num_threads(threads)
        metric = self.faiss.METRIC_L2 if self.data.metric == "l2" \
            else self.faiss.METRIC_INNER_PRODUCT
        self.index = self.faiss.index_factory(self.data.dim, f"HNSW{M},Flat", metric)
        self.index.hnsw.efConstruction = EF_CONSTRUCTION
        for s in range(0, self.data.n, 10_000):
            x = np.array(self.data.base[s:s + 10_000])
            if self.data.metric == "cos":
                x /= np.linalg.norm(x, axis=1, keepdims=True)
            self.index.add(x)

    def save(self, path):
        self.faiss.write_index(self.index, path)

    def load(self, path):
        self.faiss.omp_set_num_threads(1)
        self.index = self.faiss.read_index(path)

    def search(self, queries, effort):
        self.index.hnsw.efSearch = effort
        return self.index.search(queries, K)[1]


class Usearch:
    def __init__(self, data):
        from usearch.index import Index
        self.data = data
        # With unit vectors "ip" gives the same order as "cos" and costs less.
        self.index = Index(ndim=data.dim, metric="l2sq" if data.metric == "l2" else "ip",
                           dtype="f32", connectivity=M, expansion_add=EF_CONSTRUCTION)

    def build(self, threads):
        for s in range(0, self.data.n, 10_000):
            x = np.array(self.data.base[s:s + 10_000])
            if self.data.metric == "cos":
                x /= np.linalg.norm(x, axis=1, keepdims=True)
            self.index.add(np.arange(s, s + len(x)), x, threads=threads)

    def save(self, path):
        self.index.save(path)

    def load(self, path):
        self.index.load(path)

    def search(self, queries, effort):
        self.index.expansion_search = effort
        return self.index.search(queries, K, threads=1).keys


class FaissFlat:
    def __init__(self, data):
        import faiss
        faiss.omp_set_num_threads(1)
        self.faiss = faiss
        flat = faiss.IndexFlatL2 if data.metric == "l2" else faiss.IndexFlatIP
        self.index = flat(data.dim)
        self.index.add(data.unit())
        self.usual = faiss.cvar.distance_compute_blas_threshold
        # Its own rule for when to multiply matrices is not always the faster one
        # for a few queries: the better of both is taken.
        queries = data.unit_query()[:32]
        self.batch_threshold = min((self.usual, 20), key=lambda t: self.seconds(queries, t))

    def seconds(self, queries, threshold):
        self.batch_threshold = threshold
        self.exact(queries)
        start = time.process_time()
        self.exact(queries)
        self.exact(queries)
        return time.process_time() - start

    def exact(self, queries):
        self.faiss.cvar.distance_compute_blas_threshold = \
            self.usual if len(queries) == 1 else self.batch_threshold
        return self.index.search(queries, K)[1]


class SqliteVec:
    def __init__(self, data):
        import apsw
        import sqlite_vec
        self.db = apsw.Connection(":memory:")
        self.db.enable_load_extension(True)
        self.db.load_extension(sqlite_vec.loadable_path())
        measure = "l2" if data.metric == "l2" else "cosine"
        self.db.execute(f"create virtual table v using vec0(e float[{data.dim}] "
                        f"distance_metric={measure})")
        with self.db:
            self.db.executemany("insert into v(rowid, e) values (?, ?)",
                                ((i, data.base[i].tobytes()) for i in range(data.n)))

    def exact(self, queries):
        return [[row[0] for row in self.db.execute(
            "select rowid from v where e match ? and k = ? order by distance",
            (q.tobytes(), K))] for q in queries]


class Numpy:
    def __init__(self, data):
        self.x = data.unit()
        self.half = (self.x ** 2).sum(1) / 2 if data.metric == "l2" else np.float32(0)

    def exact(self, queries):
        if len(queries) == 1:
            d = (self.half - self.x @ queries[0])[None]
        else:
            d = self.half - queries @ self.x.T
        best = np.argpartition(d, K, axis=1)[:, :K]
        order = np.take_along_axis(d, best, 1).argsort(1)
        return np.take_along_axis(best, order, 1)


GRAPHS = {"hnswlib": Hnswlib, "faiss-hnsw": FaissHnsw, "usearch": Usearch}
SCANS = {"faiss-flat": FaissFlat, "sqlite-vec": SqliteVec, "numpy": Numpy}


# Phases --------------------------------------------------------------------------

def say(args, **figures):
    print(json.dumps({"engine": args.engine, "set": args.set, **figures}), flush=True)


def rate(args, call, count):
    """Times `count` queries a call: the median rate by the processor's clock."""
    rates = []
    for _ in range(args.repeats):
        calls, start = 0, time.process_time()
        while calls == 0 or time.process_time() - start < args.seconds:
            call()
            calls += 1
        rates.append(count * calls / (time.process_time() - start))
    return statistics.median(rates)


def one(queries, first, count):
    return queries[first:first + count]


def build(args, data, path):
    engine = GRAPHS[args.engine](data)
    np.asarray(data.base).sum()  # read the file before the clock starts
    before = anonymous_bytes()
    wall, cpu = time.monotonic(), time.process_time()
    engine.build(args.threads)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    memory = anonymous_bytes() - before
    engine.save(path)
    say(args, what="build", threads=args.threads, rows=data.n, wall_s=round(wall, 2),
        cpu_s=round(cpu, 2), rate=round(data.n / (cpu if args.threads == 1 else wall), 1),
        clock="cpu" if args.threads == 1 else "wall")
    say(args, what="memory", bytes_per_vector=round(memory / data.n, 1),
        file_bytes_per_vector=round(os.path.getsize(path) / data.n, 1))


def search(args, data, path):
    engine = GRAPHS[args.engine](data)
    engine.load(path)
    queries = np.ascontiguousarray(data.unit_query())
    for effort in args.efforts:
        found = data.recall(engine.search(queries, effort))
        if found < TOO_LOW:
            continue
        say(args, what="search", effort=effort, recall=round(found, 5),
            qps=round(rate(args, lambda e=effort: engine.search(queries, e), len(queries)), 1))
        if found >= ENOUGH:
            break


def exact(args, data):
    engine = SCANS[args.engine](data)
    queries = np.ascontiguousarray(data.unit_query())
    for batch in (1, 32):
        if batch > 1 and args.engine == "sqlite-vec":
            continue  # takes one vector a statement
        recall = data.recall(np.concatenate(
            [engine.exact(queries[i:i + batch]) for i in range(0, 32, batch)]))
        turns = itertools.cycle(range(0, len(queries) - batch + 1, batch))
        qps = rate(args, lambda b=batch, t=turns: engine.exact(one(queries, next(t), b)), batch)
        say(args, what="exact", batch=batch, recall=round(recall, 5), qps=round(qps, 2),
            gbps=round(qps * data.n * data.dim * 4 / 1e9, 2) if batch == 1 else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("engine", choices=[*GRAPHS, *SCANS])
    parser.add_argument("set")
    parser.add_argument("--data", required=True)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--only", default="build,search,exact")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--efforts", type=lambda s: [int(e) for e in s.split(",")], default=EFFORTS)
    args = parser.parse_args()
    data = Set(args.data, args.set)
    path = os.path.join(args.cache, f"{args.engine}-{args.set}-{M}-{EF_CONSTRUCTION}")
    only = args.only.split(",")
    if args.engine in SCANS:
        if "exact" in only:
            exact(args, data)
        return
    if "build" in only:
        os.makedirs(args.cache, exist_ok=True)
        build(args, data, path)
    if "search" in only:
        search(args, data, path)


if __name__ == "__main__":
    main()
