#!/usr/bin/env python3
"""Ochre beside the official server: the figures of docs/benchmarks.md.

Both servers get the same requests from the same driver on the same machine in
the same run, in turns (A B A B ...), each pinned to the same processors, the
driver pinned to others.  Every figure is the median of --rounds rounds, with
the range beside it.  Configuration: the default of each.

bench/server/run prepares what this needs; see there.  Standard library only.
"""
import argparse
import http.client
import json
import os
import pathlib
import platform
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = "/api/v2/tenants/default_tenant/databases/default_database/collections"
BEGIN, END = "<!-- bench-server: begin -->", "<!-- bench-server: end -->"
SYNC_CALL = re.compile(r"\b(fdatasync|fsync|sync_file_range|msync)\(")


def processors():
    """Half of the processors for the server, the others for the driver."""
    mine = sorted(os.sched_getaffinity(0))
    half = max(1, len(mine) // 2)
    return mine[:half], (mine[half:] or mine)


class Server:
    """One of the two, on a port and a directory of its own."""

    def __init__(self, name, command, args):
        self.name, self.command, self.args = name, command, args
        self.directory = os.path.join(args.home, "run-" + name)
        self.process = None

    def empty(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, prefix=()):
        """Start and wait for the first heartbeat; the seconds since the start."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        words = [w.format(dir=self.directory, port=self.port) for w in self.command]
        pinned = ["taskset", "-c", ",".join(map(str, self.args.server_cpus))]
        with open(os.path.join(self.args.home, self.name + ".log"), "ab") as log:
            started = time.monotonic()
            self.process = subprocess.Popen([*prefix, *pinned, *words], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        while time.monotonic() - started < 120:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with status {self.process.returncode}")
            try:
                if self.request("GET", "/api/v2/heartbeat")[0] == 200:
                    return time.monotonic() - started
            except OSError:
                time.sleep(0.001)
        raise RuntimeError(f"{self.name} did not start")

    def stop(self):
        if self.process is None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def freeze(self, frozen=True):
        """Takes no processor time until it is thawed."""
        os.killpg(self.process.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def collection(self, name, **more):
        status, body = self.request("POST", BASE, json.dumps({"name": name, **more}))
        if status != 200:
            raise RuntimeError(f"{self.name}: {body!r}")
        return json.loads(body)["id"]

    def driver(self, path, bodies, *options):
        """The command that sends the requests."""
        return ["taskset", "-c", ",".join(map(str, self.args.driver_cpus)),
                os.path.join(self.args.home, "httpload"), *map(str, options),
                "127.0.0.1", str(self.port), path, *([bodies] if bodies else [])]

    def load(self, path, bodies, *options):
        """Run the driver; what it measured."""
        out = subprocess.run(self.driver(path, bodies, *options), check=True, capture_output=True,
                             text=True)
        return self.measured(out.stdout, out.stderr)

    def measured(self, line, errors):
        figures = dict(re.findall(r"(\w+)=([0-9.]+)", line))
        if int(figures["err"]) != 0:
            raise RuntimeError(f"{self.name}: {figures['err']} errors: {errors[-500:]}")
        return {k: float(v) for k, v in figures.items()}

    def resident_mib(self):
        total = 0
        for pid in self.processes():
            with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        return total / 1024

    def processor_seconds(self):
        ticks = 0
        for pid in self.processes():
            with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                ticks += sum(int(word) for word in f.read().rsplit(")", 1)[1].split()[11:13])
        return ticks / os.sysconf("SC_CLK_TCK")

    def settle(self, rest):
        """Leaves it alone for `rest` seconds, and then until it does nothing."""
        time.sleep(rest)
        until = time.monotonic() + 600
        before = self.processor_seconds()
        while time.monotonic() < until:
            time.sleep(3)
            after = self.processor_seconds()
            if after - before < 0.1:
                return
            before = after

    def processes(self):
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children", encoding="utf-8") as f:
                    todo += map(int, f.read().split())
        return found


class Bodies:
    """The requests, made once and kept as files."""

    def __init__(self, args):
        self.args = args
        self.data = os.path.join(args.home, "data", "syn384-100k")
        self.documents = os.path.join(args.home, "data", "documents.jsonl")
        if not os.path.exists(self.documents):
            self.make_documents()

    def make_documents(self):
        """Pseudo-words, frequent ones more often, some 250 bytes a document."""
        rng = random.Random(384)
        syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
        words = ["".join(rng.choice(syllables) for _ in range(rng.randint(1, 4)))
                 for _ in range(4000)]
        weights = [1 / (i + 5) for i in range(len(words))]
        with open(self.documents, "w", encoding="utf-8") as f:
            for _ in range(100_000):
                print(json.dumps(" ".join(rng.choices(words, weights, k=40))), file=f)

    def made(self, name, *arguments):
        path = os.path.join(self.args.home, "data", name)
        if not os.path.exists(path):
            with open(path + ".new", "wb") as f:
                subprocess.run([os.path.join(self.args.home, "mkbody"), *map(str, arguments)],
                               check=True, stdout=f)
            os.rename(path + ".new", path)
        return path

    def add(self, count, batch, first=0, prefix="id"):
        return self.made(f"add-{prefix}-{first}-{count}-{batch}", "add", self.data + ".base.fbin",
                         first, count, batch, "-d", self.documents, "-m", "-b", "-p", prefix)

    def query(self):
        return self.made("query-1000", "query", self.data + ".query.fbin", 1000, 10)


# The measurements: each takes a started, empty server and gives one number ----

def ingest(server, bodies):
    path = f"{BASE}/{server.collection('bench')}/add"
    figures = server.load(path, bodies.add(server.args.records, 1000), "-1")
    return server.args.records / figures["sec"]


def single_add(server, bodies):
    """Median of one client's durable adds of one record, in milliseconds."""
    path = f"{BASE}/{server.collection('bench')}/add"
    server.load(path, bodies.add(200, 1, prefix="warm"), "-1")
    return server.load(path, bodies.add(server.args.singles, 1, prefix="one"), "-1")["p50"] / 1000


def sixteen_clients(server, bodies):
    """Adds of one record a second, 16 clients."""
    path = f"{BASE}/{server.collection('bench')}/add"
    server.load(path, bodies.add(200, 1, prefix="warm"), "-1")
    count = server.args.singles * (16 if server.name == "ochre" else 1)
    return server.load(path, bodies.add(count, 1, prefix="many"), "-1", "-c", 16)["rps"]


def query(server, bodies):
    """Queries a second over 10,000 records, one client: exact ones from ours."""
    exact = {"metadata": {"ochre:recall_target": 1.0}} if server.name == "ochre" else {}
    collection = f"{BASE}/{server.collection('bench', **exact)}"
    server.load(collection + "/add", bodies.add(10_000, 1000), "-1")
    return server.load(collection + "/query", bodies.query(), "-w", 1, "-t",
                       server.args.seconds)["rps"]


def idle_memory(server, bodies):
    time.sleep(2)
    return server.resident_mib()


def start_to_query(server, bodies):
    """From starting the process to the first answered query over 100,000 records, in ms."""
    marker = os.path.join(server.args.home, server.name + ".collection")
    if not os.path.exists(marker) or not os.path.isdir(server.directory):
        server.empty()
        server.start()
        collection = server.collection("bench")
        server.load(f"{BASE}/{collection}/add", bodies.add(100_000, 1000), "-1")
        with open(marker, "w", encoding="utf-8") as f:
            f.write(collection)
    with open(marker, encoding="utf-8") as f:
        collection = f.read()
    server.stop()
    with open(bodies.query(), "rb") as f:
        body = f.readline()
    started = time.monotonic()
    server.start()
    status, answer = server.request("POST", f"{BASE}/{collection}/query", body)
    elapsed = time.monotonic() - started
    if status != 200 or len(json.loads(answer)["ids"][0]) != 10:
        raise RuntimeError(f"{server.name}: {answer[:200]!r}")
    return elapsed * 1000


def sync_calls(server, bodies):
    """Syncs a request, counted by strace: (one client's batches, 16 clients' single adds)."""
    if shutil.which("strace") is None:
        return None
    server.empty()
    log = os.path.join(server.args.home, server.name + ".strace")
    server.start(prefix=["strace", "-f", "-q", "-e", "trace=fdatasync,fsync,sync_file_range,msync",
                         "-o", log])
    path = f"{BASE}/{server.collection('bench')}/add"

    def count():
        with open(log, encoding="utf-8", errors="replace") as f:
            return sum(1 for line in f if SYNC_CALL.search(line))
    ratios = []
    for requests, options in ((20, ()), (800, ("-c", 16))):
        size = 1000 if requests == 20 else 1
        before = count()
        server.load(path, bodies.add(requests * size, size, prefix=f"sync{size}-"), "-1", *options)
        time.sleep(0.3)
        ratios.append((count() - before) / requests)
    server.stop()
    return ratios


# name, unit, measurement, keeps its directory, ratio wanted, in words
FIGURES = [
    ("acknowledged records/s, batches of 1000, one client", "1/s", ingest, ">=", 15,
     "at least 15 x (aim 25 x)"),
    ("durable add of one record, one client, p50", "ms", single_add, "<=", 1 / 12,
     "at most 1/12 (aim 0.55 ms)"),
    ("durable adds of one record/s, 16 clients", "1/s", sixteen_clients, ">=", 30, "at least 30 x"),
    ("exact queries/s, 10,000 records, one client", "1/s", query, ">=", 3, "at least 3 x"),
    ("resident memory, idle and empty", "MiB", idle_memory, None, None, "at most 20 MB"),
    ("start to first answered query, 100,000 records", "ms", start_to_query, "<=", 1 / 4,
     "at most 1/4 and at most 150 ms"),
]


def measured(args, servers, bodies, measure):
    values = {s.name: [] for s in servers}
    for _ in range(args.rounds):
        for server in servers:
            if measure is not start_to_query:
                server.empty()
                server.start()
            values[server.name].append(measure(server, bodies))
            server.stop()
            print(f"    {server.name}: {values[server.name][-1]:.4g}", flush=True)
    for server in servers:
        server.empty()
    return values


def shown(values):
    return f"{figure(statistics.median(values))} ({figure(min(values))} to {figure(max(values))})"


def figure(x):
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def verdict(name, ratio, ours, sense, wanted):
    if name.startswith("resident"):
        return ours * 1.048576 <= 20
    met = ratio >= wanted if sense == ">=" else ratio <= wanted
    return met and not (name.startswith("start") and ours > 150)


def machine(args):
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")),
                     platform.machine())
    disk = subprocess.run(["stat", "-f", "-c", "%T", args.home], check=False, capture_output=True,
                          text=True).stdout.strip()
    return (f"{model}, {os.cpu_count()} processors, {platform.system()} {platform.release()}, "
            f"{disk}; server on processor {','.join(map(str, args.server_cpus))}, "
            f"driver on {','.join(map(str, args.driver_cpus))}")


def report(args, rows, syncs, versions):
    lines = [f"Measured {time.strftime('%Y-%m-%d')} by `make bench-server` "
             f"({args.rounds} rounds, in turns; medians, with the range beside them).", "",
             f"Machine: {machine(args)}.", "",
             f"Servers: {versions['ochre']}; {versions['chroma']} (`chroma run`). Records: 384 "
             "floats as base64, a document of some 250 bytes, seven metadata values. Both with "
             "their default configuration.", "",
             "| figure | unit | ochre | official server | ratio | wanted | met |",
             "|---|---|---|---|---|---|---|"]
    for name, unit, ours, theirs, ratio, wanted, met in rows:
        lines.append(f"| {name} | {unit} | {ours} | {theirs} | {ratio:.3g} | {wanted} | "
                     f"{'yes' if met else '**no**'} |")
    lines += ["", "Syncs (fdatasync, fsync and the like) a request, counted by strace in a run of "
                  "its own:", "", "| load | ochre | official server |", "|---|---|---|"]
    for i, load in enumerate(("batches of 1000, one client", "single adds, 16 clients")):
        cells = [f"{syncs[n][i]:.2f}" if syncs[n] else "not counted" for n in ("ochre", "chroma")]
        lines.append(f"| {load} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def write_table(text, begin=BEGIN, end=END):
    path = ROOT / "docs" / "benchmarks.md"
    page = path.read_text(encoding="utf-8")
    head, rest = page.split(begin)
    tail = rest.split(end)[1]
    path.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")
    print(f"\n{text}\n\nwritten to {path.relative_to(ROOT)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ochre", required=True, help="our server")
    parser.add_argument("--chroma", required=True, help="the official server")
    parser.add_argument("--home", required=True, help="where data and directories go")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=20_000, help="of the ingest figure")
    parser.add_argument("--singles", type=int, default=1000, help="single adds a round")
    parser.add_argument("--seconds", type=float, default=5, help="of the query figure")
    parser.add_argument("--only", help="figures whose name contains this")
    parser.add_argument("--print", action="store_true", help="do not write docs/benchmarks.md")
    args = parser.parse_args()
    args.server_cpus, args.driver_cpus = processors()

    servers = [Server("ochre", [args.ochre, "run", "--path", "{dir}", "--port", "{port}"], args),
               Server("chroma", [args.chroma, "run", "--path", "{dir}", "--port", "{port}"], args)]
    bodies = Bodies(args)
    def first_line(*command):
        out = subprocess.run(command, check=False, capture_output=True, text=True)
        return (out.stdout or out.stderr).strip().splitlines()[0]
    versions = {"ochre": first_line(args.ochre, "version"),
                "chroma": "chromadb " + first_line(
                    sys.executable, "-c", "import chromadb; print(chromadb.__version__)")}
    rows = []
    try:
        for name, unit, measure, sense, wanted, words in FIGURES:
            if args.only and args.only not in name:
                continue
            print(name, flush=True)
            values = measured(args, servers, bodies, measure)
            ours, theirs = (statistics.median(values[s.name]) for s in servers)
            rows.append((name, unit, shown(values["ochre"]), shown(values["chroma"]),
                         ours / theirs, words,
                         verdict(name, ours / theirs, ours, sense, wanted)))
        print("syncs a request", flush=True)
        syncs = {s.name: sync_calls(s, bodies) for s in servers}
    finally:
        for server in servers:
            server.empty()
    text = report(args, rows, syncs, versions)
    if args.print or args.only:
        print("\n" + text)
    else:
        write_table(text)
    return 0 if all(row[-1] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
