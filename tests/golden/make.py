#!/usr/bin/env python3
"""Make one golden directory: make.py BINARY NAME [ARCHIVE.tar.xz]

A program that never changes is run against a server: the requests below, in this
order, with vectors and texts by formula.  What the directory must hold follows from
the naive model (tests/model), not from what the server answers, and is stored beside
it as expected.json.  NAME says how far the program goes and how it ends:

    killed       every kind of write and value; SIGKILL behind the last one
    restarted    the same, and then started and killed twice
    closed       also 8,300 records, so that there are files, with deletions; SIGTERM
    compacted    the same, merged: a graph; deletions after that
    journal      as killed, but in the middle of a change of the catalog (strace)
    backup       what `ochre backup` makes of `closed`
    early        `closed` for servers before recall targets and compacting
    early-graph  the same, with so much deleted that the file is merged with nothing

Made once for each version of a format and kept: docs/formats, README.md.
"""
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "model"))
import model as naive  # noqa: E402
import transport  # noqa: E402

TENANT, DATABASE = naive.DEFAULT_TENANT, naive.DEFAULT_DATABASE
OTHER = "other \u00fc/t"
N_BULK, N_DISTINCT, BATCH = 8300, 700, 415
INCLUDE = ["documents", "metadatas", "embeddings", "uris"]


# --- the program: formulas ------------------------------------------------------

def bulk_vector(i):
    """One of 700, with halves of whole numbers: distances have no rounding."""
    i = i % N_DISTINCT
    return [((i * (7 + 2 * d) + i // (11 + d)) % 33 - 16) / 2 for d in range(8)]


def small_vector(i, dim):
    return [((i * 5 + d * 3 + i * d) % 17 - 8) / 2 for d in range(dim)]


def metadata(i):
    return {"i": i - 3, "big": 2 ** 53 + i, "f": i / 4, "s": f"s{i % 4}", "b": i % 2 == 0,
            "li": [i, 2, -1], "lf": [0.5, i / 2], "ls": ["a", f"x{i}"], "lb": [True, i % 3 == 0],
            "\u043a\u043b\u044e\u0447": "\u65e5\u672c"}


def document(i):
    return f"document {i} " + ("apple pie" if i % 3 else "\u00fcber 50%\nline two")


class Program:
    def __init__(self, way):
        self.way = way
        self.model = naive.Model()
        self.collections = {}

    def ask(self, request):
        status, body = self.way.send(request)
        want, _ = expected = self.model.answer(request)
        if status != want:
            raise RuntimeError(f"{request} got {status} {body} instead of {expected}")
        return expected[1], body

    def create(self, name, tenant=TENANT, database=DATABASE, **more):
        c, body = self.ask({"op": "create_collection", "tenant": tenant, "database": database,
                            "body": {"name": name, **more}})
        c.id = body["id"]
        self.collections[name] = c

    def at(self, op, name, **body):
        c = self.collections[name]
        self.ask({"op": op, "tenant": c.tenant, "database": c.database,
                  "collection": c.name if op == "delete_collection" else c.id, "body": body})

    def catalog(self, has_targets):
        self.ask({"op": "create_tenant", "body": {"name": OTHER}})
        self.ask({"op": "create_database", "tenant": OTHER, "body": {"name": "second"}})
        self.ask({"op": "create_database", "tenant": TENANT, "body": {"name": "gone"}})
        self.create("in-gone", database="gone")
        self.ask({"op": "delete_database", "tenant": TENANT, "database": "gone"})
        self.create("records", metadata={"a": 1, "b": "two", "c": 0.5, "d": True})
        self.create("cosine", tenant=OTHER, database="second",
                    configuration={"hnsw": {"space": "cosine", "ef_search": 77}})
        target = {"recall_target": 0.95} if has_targets else {}
        self.create("products", configuration={"hnsw": {"space": "ip"}, **target})
        self.create("schema", schema={
            "defaults": {"bool": {"bool_inverted_index": {"enabled": False, "config": {}}}},
            "keys": {"s": {"string": {"string_inverted_index": {"enabled": False,
                                                                "config": {}}}}}})
        self.create("empty", metadata={"hnsw:space": "l2", "hnsw:search_ef": 33})
        self.create("dropped")
        c = self.collections["products"]
        self.ask({"op": "modify_collection", "tenant": TENANT, "database": DATABASE,
                  "collection": c.id, "body": {"new_name": "renamed",
                                               "new_metadata": {"now": "renamed"}}})

    def writes(self):
        ids = [f"r{i}" for i in range(40)] + ["\u00e9\u65e5", "a/b?c", " "]
        n = len(ids)
        self.at("add", "dropped", ids=["x"], embeddings=[[1, 2]])
        self.at("add", "records", ids=ids, embeddings=[small_vector(i, 3) for i in range(n)],
                documents=[document(i) if i % 5 else None for i in range(n)],
                uris=[f"u:{i}" if i % 7 == 0 else None for i in range(n)],
                metadatas=[metadata(i) if i % 6 else None for i in range(n)])
        self.at("update", "records", ids=["r1", "r2", "nobody"],
                embeddings=[None, [9, 9.5, -9], [1, 1, 1]], documents=["changed", None, "no"],
                metadatas=[{"i": None, "new": "n"}, {"f": 2.25}, {"i": 1}])
        self.at("upsert", "records", ids=["r3", "last"],
                embeddings=[[0, 0, 0.5], [8, -8, 8]], metadatas=[{"up": [1.5]}, None])
        self.at("delete", "records", ids=["r4", "r5", "nobody"])
        self.at("delete", "records", where={"i": {"$gt": 33}}, limit=2)
        for name, dim in (("cosine", 17), ("products", 5), ("schema", 2)):
            self.at("add", name, ids=ids[:30],
                    embeddings=[small_vector(i + dim, dim) for i in range(30)],
                    metadatas=[{"s": f"v{i % 3}", "n": i} for i in range(30)])
        self.at("delete", "products", where={"n": {"$in": [3, 5, 8]}})
        self.at("delete_collection", "dropped")

    def bulk(self):
        self.create("bulk", metadata={"many": True})
        for first in range(0, N_BULK, BATCH):
            some = range(first, first + BATCH)
            self.at("add", "bulk", ids=[f"b{i}" for i in some],
                    embeddings=[bulk_vector(i) for i in some],
                    documents=[f"text {i % 50}" if i % 4 == 0 else None for i in some],
                    metadatas=[{"i": i % 11, "s": f"s{i % 5}", "f": (i % 40) / 4}
                               if i % 3 else None for i in some])

    def bury(self, every, remainder):
        """Delete some of the many: not so many that their file is written anew."""
        self.at("delete", "bulk", ids=[f"b{i}" for i in range(remainder, N_BULK, every)])

    def more(self):
        """Enough to become a file when nobody writes for a second."""
        some = range(N_BULK, N_BULK + 600)
        self.at("add", "bulk", ids=[f"b{i}" for i in some],
                embeddings=[bulk_vector(i) for i in some])

    # --- what must be there ----------------------------------------------------

    def questions(self, c):
        """Requests whose answers follow from the model; neighbours are asked exactly."""
        if not c.records:
            return []
        some = list(c.records.values())
        vectors = [some[0].vector, [x + 0.5 for x in some[len(some) // 2].vector]]
        bodies = [("query", {"query_embeddings": vectors, "n_results": 7, "exact": True}),
                  ("get", {"where": {"s": {"$ne": "s1"}}, "limit": 30}),
                  ("get", {"where": {"$or": [{"i": {"$lte": 2}}, {"n": {"$gt": 20}}]}}),
                  ("get", {"where_document": {"$contains": "apple"}}),
                  ("query", {"query_embeddings": vectors, "n_results": 5, "exact": True,
                             "where": {"$and": [{"i": {"$gt": 1}}, {"i": {"$lt": 9}}]}})]
        out = []
        for op, body in bodies:
            request = {"op": op, "tenant": c.tenant, "database": c.database, "collection": c.id,
                       "body": {**body, "include": ["distances"] if op == "query" else []}}
            status, want = self.model.answer(request)
            answer = {"status": status}
            if status == 200 and op == "query":
                hits = [ranked[:want["k"]] for ranked in want["ranked"]]
                answer["ids"] = [[r.id for _, r in h] for h in hits]
                answer["distances"] = [[d for d, _ in h] for h in hits]
            elif status == 200:
                answer["ids"] = want["ids"]
            out.append({"op": op, "body": request["body"], "answer": answer})
        return out

    def expected(self):
        collections = []
        for c in self.model.collections:
            described = c.described()
            del described["keys"]
            records = list(c.records.values())
            collections.append({
                "described": described,
                "ids": [r.id for r in records],
                "embeddings": [r.vector for r in records],
                "documents": [r.document for r in records],
                "uris": [r.uri for r in records],
                "metadatas": [r.metadata or None for r in records],
                "questions": self.questions(c)})
        return {"tenants": sorted(self.model.tenants),
                "databases": {t: sorted(d) for t, d in self.model.databases.items()},
                "collections": collections}


# --- how a directory comes to be ----------------------------------------------------

def wait_for(data, pattern, n=1):
    deadline = time.monotonic() + 60
    while len(list(data.glob(pattern))) < n:
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {n} of {pattern} in {data}")
        time.sleep(0.05)


def compact(way):
    request = urllib.request.Request(way.server.base + "/ochre/v1/compact", b"", method="POST")
    with urllib.request.urlopen(request, timeout=120):
        pass


def die_in_catalog(program, way, binary, data):
    """Be killed where a change of the catalog would have been complete."""
    way.stop()
    log = data.with_suffix(".strace")
    command = ["strace", "-f", "-qq", "-o", str(log), "-P", str(data / "catalog.db-journal"),
               "-e", "trace=ftruncate", "-e", "inject=ftruncate:signal=KILL:when=1",
               binary, "run", "--no-sandbox", "--path", "{path}", "--port", "{port}"]
    way.server.command = command
    way.start()
    try:
        way.send({"op": "create_collection", "tenant": TENANT, "database": DATABASE,
                  "body": {"name": "half-made"}})
        raise RuntimeError("the server survived")
    except transport.Gone:
        pass
    way.server.kill()
    if (data / "catalog.db-journal").stat().st_size == 0:
        raise RuntimeError("the journal is empty: " + log.read_text())


def make(binary, name, scratch):
    data = scratch / "data"
    way = transport.HttpTransport(binary, str(scratch))
    program = Program(way)
    way.start()
    early = name.startswith("early")
    program.catalog(not early)
    program.writes()
    if name not in ("killed", "journal", "restarted"):
        program.bulk()
        wait_for(data, "seg/*/*.seg")
        if name == "compacted":
            compact(way)
        program.bury(*((4, 1) if name == "early-graph" else (17, 3)))
        if early:
            way.restart(False)
            wait_for(data, "seg/*/*[2-9].seg" if name == "early-graph" else "seg/*/*.seg")
        else:  # a second file, and with it what was deleted from the first one
            program.more()
            wait_for(data, "seg/*/*.del")
    expected = program.expected()
    if name == "killed":
        way.server.kill()
    elif name == "restarted":
        way.restart(True)
        way.restart(True)
        way.server.kill()
    elif name == "journal":
        die_in_catalog(program, way, binary, data)
    elif way.stop() != 0:
        raise RuntimeError(way.log_tail())
    if name == "backup":
        subprocess.run([binary, "backup", data, scratch / "backup"], check=True)
        shutil.rmtree(data)
        (scratch / "backup").rename(data)
    return data, expected


def pack(data, expected, archive):
    """The same directory gives the same archive."""
    def plain(member):
        member.mtime, member.uid, member.gid = 0, 0, 0
        member.uname = member.gname = ""
        return member

    (data / "RESERVE").unlink(missing_ok=True)  # only space; made at each opening
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        for path in sorted(data.rglob("*")):
            tar.add(path, "data/" + str(path.relative_to(data)), recursive=False, filter=plain)
        text = json.dumps(expected, ensure_ascii=False, separators=(",", ":")).encode()
        member = plain(tarfile.TarInfo("expected.json"))
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))


def main():
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    binary, name = os.path.abspath(sys.argv[1]), sys.argv[2]
    archive = sys.argv[3] if len(sys.argv) == 4 else HERE / "1" / f"{name}.tar.xz"
    with tempfile.TemporaryDirectory(prefix="ochre-golden-") as scratch:
        data, expected = make(binary, name, pathlib.Path(scratch))
        for path in sorted(p for p in data.rglob("*") if p.is_file()):
            print(f"{path.stat().st_size:9} {path.relative_to(data)}")
        pack(data, expected, archive)
    print(f"{os.path.getsize(archive)} bytes: {archive}")


if __name__ == "__main__":
    main()
