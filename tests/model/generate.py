"""Random requests: mostly valid, some broken in exactly one way.

    generator = Generator(random.Random(seed))
    request = generator.next(model)

The generator looks at the model to ask about things that exist.  A broken
request carries `expect`, the status that it must get.  `reference` keeps away
from what the reference server answers otherwise (docs/compatibility.md), so
that the model itself can be judged against it.
"""
import struct

from model import Collection, DEFAULT_DATABASE, DEFAULT_TENANT  # noqa: F401

INVALID_SHARE = 0.15
IDS = [f"r{i}" for i in range(30)] + ["\u00e9\u65e5", " spaced ", "a/b?c", 'say "hi"', "R1"]
WORDS = ["apple", "Apple", "pie", "banana", "\u65e5\u672c\u8a9e", "\u00fcber", "50%", "off_now",
         "x", "one\nline two", "cherry"]
PATTERNS = ["apple", "(?i)APPLE", "^apple", "pie$", "ap+le", "a.p", "[a-c]+n", "\u65e5\u672c?",
            r"\d+%", "(apple|banana) pie", "", ".*", r"\w+_\w+", "^$", "o[nr]e", "(?s)one.line",
            "(?m)^line", "[^a-z ]", "n{2}|r{2}", r"\u65e5.\u8a9e".encode().decode("unicode_escape")]
KEYS = ["i", "f", "s", "b", "li", "lf", "ls", "lb", "\u043a\u043b\u044e\u0447", "a b", "i.f"]
NAMES = ["alpha", "beta", "Gamma", "d-1_2", "e.f", "zz9", "m" * 60]
UNKNOWN_ID = "6d1f2c38-0b7a-4e55-9c3d-8a1e4f7b2c90"
BAD_WHERES = [{}, [], "x", 5, {"a": {}}, {"a": 1, "b": 2}, {"a": {"$gt": 1, "$lt": 2}},
              {"a": {"$gt": "s"}}, {"a": {"$lte": True}}, {"a": None}, {"a": {"$in": []}},
              {"a": {"$in": [1, "s"]}}, {"a": {"$in": "s"}}, {"a": {"$like": "s"}},
              {"$not": [{"a": 1}]}, {"$and": {"a": 1}}, {"$or": [{"a": 1}, {}]},
              {"a": {"$regex": "s"}}, {"a": 2 ** 63}, {"a": {"b": 1}}, {"#document": {"$regex": 1}}]
BAD_WHERE_DOCUMENTS = [{}, [], "x", {"$contains": 5}, {"$contains": None}, {"$like": "s"},
                       {"$contains": "a", "$not_contains": "b"}, {"$and": "a"}, {"a": "b"},
                       {"$regex": "("}, {"$regex": "a{2,1}"}, {"$or": [{}]}, {"$regex": "(?=a)"}]


def grid(x):
    return x == 0 or (abs(x) <= 8 and x * 2 == int(x * 2))


class Generator:
    def __init__(self, rng, reference=False):
        self.rng, self.reference = rng, reference
        self.bulk_number = 0
        self.plans = {}  # collection name and place -> (dimension, grid or free)
        self.sample = None  # a record of the collection that is being asked
        self.with_bulk = rng.random() < 0.08 and not reference

    # Places ----------------------------------------------------------------

    def database(self, model):
        pairs = [(t, d) for t, names in model.databases.items() for d in sorted(names)]
        tenant, database = self.rng.choice(pairs or [(DEFAULT_TENANT, DEFAULT_DATABASE)])
        return {"tenant": tenant, "database": database}

    def collection(self, model):
        """Any collection, the fullest more often; a record of it is kept to ask about."""
        if not model.collections:
            return None
        c = self.rng.choice(model.collections)
        if self.rng.random() < 0.6:
            c = max(model.collections, key=lambda other: len(other.records))
        self.sample = self.rng.choice(list(c.records.values())) if c.records else None
        return c

    @staticmethod
    def at(op, c, body=None, **more):
        request = {"op": op, "tenant": c.tenant, "database": c.database, "collection": c.id,
                   **more}
        if body is not None:
            request["body"] = body
        return request

    # Values ----------------------------------------------------------------

    def plan(self, c):
        """The dimension and the kind of vectors that a collection gets."""
        if c.id not in self.plans and c.origin in self.plans:
            self.plans[c.id] = self.plans[c.origin]
        if c.id not in self.plans:
            self.plans[c.id] = (self.rng.choice([1, 2, 3, 4, 5, 7, 8, 16, 17, 33, 100]),
                                "grid" if self.rng.random() < 0.7 else "free")
        dim, kind = self.plans[c.id]
        return (c.dimension or dim), kind

    def vector(self, c, dim=None):
        planned, kind = self.plan(c)
        dim = dim or planned
        if c.records and dim == c.dimension and self.rng.random() < 0.2:
            return list(self.rng.choice(list(c.records.values())).vector)
        if kind == "grid":
            return [self.rng.randint(-6, 6) / 2 for _ in range(dim)]
        return [struct.unpack("<f", struct.pack("<f", self.rng.gauss(0, 2)))[0]
                for _ in range(dim)]

    def document(self):
        if self.rng.random() < 0.05:
            return ""
        return " ".join(self.rng.choice(WORDS) for _ in range(self.rng.randint(1, 4)))

    def scalar(self, kind=None):
        rng = self.rng
        kind = kind or rng.choice(["int", "float", "str", "bool"])
        if kind == "int":
            return rng.choice([rng.randint(-3, 6), rng.randint(-3, 6), rng.randint(-3, 6),
                               2 ** 53 + rng.randint(-1, 2), 2 ** 63 - 1, -2 ** 63])
        if kind == "float":
            return rng.choice([rng.randint(-6, 12) / 2, rng.randint(-6, 12) / 2, 0.1, 1e300,
                               -2.5e-7, float(2 ** 53)])
        if kind == "str":
            return rng.choice(WORDS + ["", "1", "true", "0.5"])
        return rng.random() < 0.5

    def value(self, key):
        kind = {"i": "int", "f": "float", "s": "str", "b": "bool"}.get(key.strip("l"))
        if self.rng.random() < 0.15:
            kind = None  # a key may hold another type in another record
        if key.startswith("l"):
            kind = kind or self.rng.choice(["int", "float", "str", "bool"])
            values = [self.scalar(kind) for _ in range(self.rng.randint(1, 4))]
            if kind == "float" and self.rng.random() < 0.3:
                values.append(3)  # integers among floats become floats
            return values
        return self.scalar(kind)

    def metadata(self, nulls):
        out = {k: self.value(k) for k in self.rng.sample(KEYS, self.rng.randint(0, 4))
               if not (self.reference and k.startswith("l"))}  # its lists outlive their record
        if nulls and self.rng.random() < 0.4:
            out[self.rng.choice(KEYS)] = None
        return out

    def name(self, taken=()):
        free = [n for n in NAMES if n not in taken]
        return self.rng.choice(free) if free else f"extra{self.rng.randrange(10 ** 9)}"

    # Filters ---------------------------------------------------------------

    def operand_value(self, kind):
        value = self.scalar(kind)
        if self.reference and isinstance(value, float) and value != int(value):
            return float(int(value)) if abs(value) < 1e15 else value
        return value

    def near(self, value):
        """A value beside one that is stored, so that comparisons meet their edges."""
        if isinstance(value, bool) or isinstance(value, str) or self.rng.random() < 0.3:
            return value
        if isinstance(value, int) and self.rng.random() < 0.5:
            return value + self.rng.choice([-1, 1]) if abs(value) < 2 ** 62 else value
        if self.reference or abs(value) > 1e15:
            return float(value) if abs(value) < 2 ** 53 else value
        return value + self.rng.choice([-0.5, 0.0, 0.5])

    def pointed_leaf(self, record):
        """A comparison with what a record has."""
        key, value = self.rng.choice(list(record.metadata.items()))
        if isinstance(value, list):
            return {key: {self.rng.choice(["$contains", "$not_contains"]): self.rng.choice(value)}}
        operand = self.near(value)
        ops = ["$eq", "$ne", "$in", "$nin"]
        if not isinstance(operand, (bool, str)):
            ops += ["$gt", "$gte", "$lt", "$lte"]
        op = self.rng.choice(ops)
        return {key: {op: [operand] if op in ("$in", "$nin") else operand}}

    def leaf(self):
        rng = self.rng
        if self.sample is not None and self.sample.metadata and rng.random() < 0.5:
            return self.pointed_leaf(self.sample)
        if rng.random() < 0.12:
            op = rng.choice(["$contains", "$not_contains", "$regex", "$not_regex"])
            return {"#document": {op: self.document_operand(op)}}
        if not self.reference and rng.random() < 0.06:
            op = rng.choice(["$eq", "$ne", "$in", "$nin"])
            return {"#id": {op: rng.choice(IDS) if op in ("$eq", "$ne") else rng.sample(IDS, 3)}}
        key = rng.choice(KEYS + ["nokey"])
        kind = {"i": "int", "f": "float", "s": "str", "b": "bool"}.get(key.strip("l"))
        if kind in ("int", "float") and rng.random() < 0.4:
            kind = "float" if kind == "int" else "int"
        if kind is None or rng.random() < 0.1:
            kind = rng.choice(["int", "float", "str", "bool"])
        if rng.random() < 0.2:
            return {key: self.operand_value(kind)}
        op = rng.choice(["$eq", "$ne", "$in", "$nin", "$contains", "$not_contains",
                         "$gt", "$gte", "$lt", "$lte"])
        if op in ("$gt", "$gte", "$lt", "$lte") and kind not in ("int", "float"):
            kind = rng.choice(["int", "float"])
        if op in ("$in", "$nin"):
            return {key: {op: [self.operand_value(kind) for _ in range(rng.randint(1, 4))]}}
        return {key: {op: self.operand_value(kind)}}

    def document_operand(self, op):
        if op in ("$regex", "$not_regex"):
            return self.rng.choice(PATTERNS)
        word = self.document()
        a = self.rng.randint(0, len(word))
        return word[a:a + self.rng.randint(0, 8)]

    def where(self, depth=0):
        if depth < 3 and self.rng.random() < 0.3:
            n = self.rng.choice([0, 1, 2, 2, 2, 3])
            return {self.rng.choice(["$and", "$or"]): [self.where(depth + 1) for _ in range(n)]}
        return self.leaf()

    def where_document(self, depth=0):
        if depth < 2 and self.rng.random() < 0.25:
            n = self.rng.choice([1, 2, 2, 3])
            return {self.rng.choice(["$and", "$or"]):
                    [self.where_document(depth + 1) for _ in range(n)]}
        op = self.rng.choice(["$contains", "$not_contains", "$regex", "$not_regex"])
        return {op: self.document_operand(op)}

    def filters(self, body, share=0.6):
        if self.rng.random() < share:
            body["where"] = self.where()
        if self.rng.random() < share * 0.4:
            body["where_document"] = self.where_document()
        return body

    # Requests --------------------------------------------------------------

    def next(self, model):
        if not model.collections:
            return self.create_collection(model)
        if self.rng.random() < INVALID_SHARE:
            return self.broken(model)
        kinds = [("add", 14), ("upsert", 12), ("update", 10), ("delete", 7), ("get", 24),
                 ("query", 20), ("count", 3), ("create_collection", 3), ("get_collection", 4),
                 ("modify_collection", 4), ("listing", 5), ("delete_collection", 1),
                 ("catalog", 5), ("restart", 3), ("kill", 3), ("bulk", 3 if self.with_bulk else 0),
                 ("reset", 0.3), ("seal", 2), ("compact", 2)]
        if not self.reference:  # which does not fork
            kinds += [("fork", 4), ("fork_count", 1), ("past", 12), ("pages", 4),
                      ("pin", 4), ("unpin", 1), ("pins", 1)]
        kind, = self.rng.choices([k for k, _ in kinds], [w for _, w in kinds])
        return getattr(self, kind)(model)

    def create_collection(self, model):
        place = self.database(model)
        names = [c.name for c in model.in_database(place)]
        body = {"name": self.name(names)}
        if self.rng.random() < 0.5:
            body["metadata"] = {k: self.scalar() for k in self.rng.sample(KEYS, 2)}
        choice = self.rng.random()
        if choice < 0.5:
            body["configuration"] = {"hnsw": self.hnsw()}
            if self.rng.random() < 0.3:
                body["configuration"]["embedding_function"] = {
                    "type": "known", "name": "ours", "config": {"a": [1, None, "x"]}}
        elif choice < 0.6:
            body.setdefault("metadata", {})["hnsw:space"] = self.rng.choice(["l2", "cosine", "ip"])
            body["metadata"]["hnsw:search_ef"] = 77
        elif choice < 0.75:
            body["schema"] = self.schema()
        if not self.reference and self.rng.random() < 0.3:
            self.aim(body)
        if self.rng.random() < 0.3:
            body["get_or_create"] = True
            if names and self.rng.random() < 0.5:
                body = {"name": self.rng.choice(names), "get_or_create": True}
        return {"op": "create_collection", **place, "body": body}

    RECALLS = (0.5, 0.9, 0.95, 0.99, 1.0)

    def aim(self, body):
        """A recall target, in some of the places where it may stand."""
        target = self.rng.choice(self.RECALLS)
        places = [body.setdefault("configuration", {})]
        if "hnsw" in places[0]:
            places.append(places[0]["hnsw"])
        for place in self.rng.choices(places, k=self.rng.choice([0, 1, 1, 2])):
            place["recall_target"] = target
        if "schema" in body and self.rng.random() < 0.5:
            body["schema"]["recall_target"] = self.rng.choice(self.RECALLS)
        if self.rng.random() < 0.3:
            metadata = body.setdefault("metadata", {})
            metadata["ochre:recall_target"] = self.rng.choice(self.RECALLS)

    def hnsw(self):
        out = {"space": self.rng.choice(["l2", "cosine", "ip"])}
        for key, low, high in (("ef_construction", 1, 300), ("ef_search", 10, 300),
                               ("max_neighbors", 4, 64), ("sync_threshold", 2, 5000)):
            if self.rng.random() < 0.2:
                out[key] = self.rng.randint(low, high)
        if self.rng.random() < 0.1:
            out["resize_factor"] = 1.5
        return out

    def schema(self):
        def inverted(kind, index):
            return {kind: {index: {"enabled": self.rng.random() < 0.3, "config": {}}}}
        kinds = [("string", "string_inverted_index"), ("int", "int_inverted_index"),
                 ("float", "float_inverted_index"), ("bool", "bool_inverted_index")]
        keys = {self.rng.choice(KEYS): inverted(*self.rng.choice(kinds))}
        if self.rng.random() < 0.3:
            keys["#document"] = {"string": {"fts_index": {"enabled": False, "config": {}}}}
        defaults = inverted(*self.rng.choice(kinds)) if self.rng.random() < 0.4 else {}
        return {"defaults": defaults, "keys": keys}

    def records(self, c, op):
        """The columns of a write; the vectors may be missing in an update."""
        rng = self.rng
        n = rng.choice([0, 1, 1, 2, 3, 5, 8])
        ids = [rng.choice(IDS) for _ in range(n)]
        if op == "update" and c.records and n:
            ids[0] = rng.choice(list(c.records))
        body = {"ids": ids}
        if op != "update":
            body["embeddings"] = [self.vector(c) for _ in ids]
        elif rng.random() < 0.6:
            body["embeddings"] = [self.vector(c) if rng.random() < 0.7 else None for _ in ids]
        if rng.random() < 0.7:
            body["documents"] = [self.document() if rng.random() < 0.8 else None for _ in ids]
        if rng.random() < 0.7:
            body["metadatas"] = [self.metadata(op != "add") if rng.random() < 0.9 else None
                                 for _ in ids]
        if rng.random() < 0.3:
            body["uris"] = [f"u:{rng.randrange(9)}" if rng.random() < 0.6 else None for _ in ids]
        return self.at(op, c, body, base64=rng.random() < 0.3)

    def add(self, model):
        return self.records(self.collection(model), "add")

    def upsert(self, model):
        return self.records(self.collection(model), "upsert")

    def update(self, model):
        return self.records(self.collection(model), "update")

    def delete(self, model):
        c = self.collection(model)
        body = {}
        if self.rng.random() < 0.6:
            body["ids"] = [self.rng.choice(IDS) for _ in range(self.rng.randint(1, 3))]
        else:
            body["where"] = self.where()
            if self.rng.random() < 0.5:
                body["limit"] = self.rng.randint(0, 4)
        if self.rng.random() < 0.15:
            body["where_document"] = self.where_document()
        return self.at("delete", c, body)

    def include(self, query):
        words = ["documents", "metadatas", "embeddings", "uris"] + (["distances"] if query else [])
        return self.rng.sample(words, self.rng.randint(0, len(words)))

    def get(self, model):
        c = self.collection(model)
        body = self.filters({})
        if self.rng.random() < 0.3:
            body["ids"] = [self.rng.choice(IDS) for _ in range(self.rng.randint(0, 6))]
        if self.rng.random() < 0.3:
            body["limit"] = self.rng.randint(0, 12)
        if self.rng.random() < 0.3:
            body["offset"] = self.rng.randint(0, 8)
        if self.rng.random() < 0.7:
            body["include"] = self.include(False)
        return self.at("get", c, body)

    def query(self, model):
        c = self.collection(model)
        dim, _ = self.plan(c)
        body = self.filters({"query_embeddings":
                             [self.vector(c, dim) for _ in range(self.rng.choice([0, 1, 1, 1, 3]))]})
        if self.rng.random() < 0.7:
            body["n_results"] = self.rng.choice([0, 1, 2, 3, 5, 10, 50])
        if self.rng.random() < 0.7:
            body["include"] = self.include(True)
        if self.rng.random() < 0.2 and c.dimension is not None and body["query_embeddings"]:
            body["ids"] = [self.rng.choice(IDS) for _ in range(self.rng.randint(1, 6))]
            if self.rng.random() < 0.7 and c.records:
                body["ids"] = self.rng.sample(list(c.records), min(4, len(c.records)))
        if not self.reference:
            self.say_how(body)
        return self.at("query", c, body)

    def say_how(self, body):
        """Ask for the true nearest in one of the ways there are, or for an explanation."""
        way = self.rng.choice([{}, {}, {"exact": True}, {"recall_target": 1.0},
                               {"exact": True, "recall_target": 0.5, "effort": 1},
                               {"exact": False, "recall_target": None, "effort": None}])
        body.update(way)
        if self.rng.random() < 0.3:
            body["explain"] = self.rng.choice([True, True, False, None])

    def count(self, model):
        return self.at("count", self.collection(model))

    def past(self, model):
        """A read of a position that is known."""
        request = self.rng.choice([self.get, self.get, self.query, self.count])(model)
        c = next(c for c in model.collections if c.id == request["collection"])
        if c.past:
            position = self.rng.choice(list(c.past))
            request.get("body", request)["as_of"] = position
        return request

    def pages(self, model):
        """A get that is answered page by page, with writes in between."""
        c = self.collection(model)
        body = self.filters({}, 0.3)
        if self.rng.random() < 0.2:
            body["ids"] = [self.rng.choice(IDS) for _ in range(self.rng.randint(1, 20))]
        body["include"] = self.include(False)
        return {"op": "pages", "get": self.at("get", c, body)}

    def get_collection(self, model):
        c = self.collection(model)
        if self.rng.random() < 0.5:
            return self.at("get_collection_by_id", c)
        return {**self.at("get_collection", c), "collection": c.name}

    def modify_collection(self, model):
        c = self.collection(model)
        body = {}
        names = [x.name for x in model.in_database({"tenant": c.tenant, "database": c.database})]
        if self.rng.random() < 0.5:
            body["new_name"] = self.name(names)
        if self.rng.random() < 0.5:
            body["new_metadata"] = {k: self.scalar() for k in self.rng.sample(KEYS, 2)}
            if self.rng.random() < 0.3:
                body["new_metadata"][self.rng.choice(KEYS)] = None
        if self.rng.random() < 0.4:
            body["new_configuration"] = {"hnsw": {"ef_search": self.rng.randint(1, 500),
                                                  "resize_factor": 1.75}}
        if not self.reference and self.rng.random() < 0.3:
            change = body.setdefault("new_configuration", {})
            if "hnsw" in change and self.rng.random() < 0.5:
                change = change["hnsw"]
            change["recall_target"] = self.rng.choice(self.RECALLS)
        return self.at("modify_collection", c, body)

    def fork(self, model):
        c = self.collection(model)
        return self.at("fork", c, {"new_name": self.name([x.name for x in model.collections])})

    def pin(self, model):
        """What it is now; or, rarely, under a name that is taken."""
        c = self.collection(model)
        name = self.rng.choice(sorted(c.pins) + [f"pin-{self.rng.randrange(10 ** 6)}"] * 5)
        return self.at("pin", c, {"name": name})

    def unpin(self, model):
        c = self.collection(model)
        return {**self.at("unpin", c), "pin": self.rng.choice(sorted(c.pins) + ["nothing"])}

    def pins(self, model):
        return self.at("pins", self.collection(model))

    def fork_count(self, model):
        return self.at("fork_count", self.collection(model))

    def delete_collection(self, model):
        c = self.collection(model)
        return {**self.at("delete_collection", c), "collection": c.name}

    def listing(self, model):
        op = self.rng.choice(["list_collections", "count_collections", "list_databases",
                              "get_database", "get_tenant"])
        request = {"op": op, **self.database(model)}
        if op.startswith("list") and self.rng.random() < 0.5:
            request["limit"] = self.rng.randint(0, 3)
        if op.startswith("list") and self.rng.random() < 0.5:
            request["offset"] = self.rng.randint(0, 3)
        return request

    def catalog(self, model):
        choice = self.rng.random()
        if choice < 0.3:
            return {"op": "create_tenant", "body": {"name": self.name() + " \u00fc/t"}}
        if choice < 0.8:
            tenant = self.rng.choice(sorted(model.tenants) + ["nobody"])
            return {"op": "create_database", "tenant": tenant, "body": {"name": self.name()}}
        if choice < 0.9:
            return {"op": "delete_database", **self.database(model)}
        return {"op": "get_database", "tenant": DEFAULT_TENANT, "database": "missing"}

    def restart(self, model):
        return {"op": "restart", "kill": self.rng.random() < 0.6}

    def kill(self, model):
        """A write during which the process is killed after a moment."""
        request = getattr(self, self.rng.choice(["add", "upsert", "update", "delete"]))(model)
        return {"op": "kill", "request": request, "seconds": self.rng.random() * 0.004}

    def bulk(self, model):
        """Enough records in one request to fill a head after a few of them."""
        c = self.collection(model)
        self.bulk_number += 1
        n = self.rng.randint(1500, 4000)
        dim, _ = self.plan(c)
        if dim > 8:
            return self.get(model)
        ids = [f"b{self.bulk_number}-{i}" for i in range(n)]
        body = {"ids": ids, "embeddings": [self.vector(c) for _ in ids],
                "metadatas": [{"i": i % 7} if i % 3 else None for i in range(n)]}
        return self.at("add", c, body, base64=True)

    def seal(self, model):
        return {"op": "seal"}

    def compact(self, model):
        return {"op": "compact"}

    def reset(self, model):
        return {"op": "reset"}

    # What is broken --------------------------------------------------------

    def broken(self, model):
        c = self.collection(model)
        makers = [self.broken_write, self.broken_write, self.broken_write, self.broken_filter,
                  self.broken_filter, self.broken_read, self.broken_place, self.broken_catalog,
                  self.broken_text]
        return self.rng.choice(makers)(model, c)

    def valid_write(self, c, op):
        request = self.records(c, op)
        while not request["body"]["ids"]:
            request = self.records(c, op)
        request["base64"] = False
        return request

    def broken_write(self, model, c):
        rng = self.rng
        op = rng.choice(["add", "upsert"])
        request = self.valid_write(c, op)
        body = request["body"]
        n = len(body["ids"])
        dim, _ = self.plan(c)

        def change(status, **columns):
            return {**request, "body": {**body, **columns}, "expect": status}

        late = [  # what is refused after the dimension was looked at
            lambda: change(400, embeddings=body["embeddings"] + [self.vector(c)]),
            lambda: change(400, documents=["d"] * (n + 1)),
            lambda: change(400, metadatas=[]),
            lambda: change(400, uris=["u"] * (n + 2)),
            lambda: change(400, ids=[""] + body["ids"][1:]),
        ]
        choices = [
            lambda: change(400, embeddings=[[]] + body["embeddings"][1:]),
            lambda: change(400, embeddings=[[1e39] * dim] + body["embeddings"][1:]),
            lambda: change(400, metadatas=[{"#x": 1}] + [None] * (n - 1)),
            lambda: change(400, metadatas=[{"$x": 1}] + [None] * (n - 1)),
            lambda: change(400, metadatas=[{"": 1}] + [None] * (n - 1)),
            lambda: change(400, embeddings=["!!!!"] * n),
            lambda: change(400, embeddings=["AACAPwA="] * n),
            lambda: change(400, embeddings=["AADAfw=="] * n),
            lambda: change(422, metadatas=[{"x": {"y": 1}}] + [None] * (n - 1)),
            lambda: change(422, metadatas=[{"x": [1, "s"]}] + [None] * (n - 1)),
            lambda: change(422, metadatas=["x"] * n),
            lambda: change(422, ids=[7] * n),
            lambda: change(422, ids=None),
            lambda: change(422, ids="r1"),
            lambda: change(422, embeddings=None),
            lambda: change(422, embeddings=[None] * n),
            lambda: change(422, embeddings=[["x"]] * n),
            lambda: change(422, embeddings=body["embeddings"][:1] + ["AACAPw=="]),
            lambda: change(422, documents=[5] * n),
            lambda: change(422, documents="d"),
        ]
        if not self.reference or c.dimension is not None:  # it would pin the dimension
            choices += late
        if op == "add":
            choices.append(lambda: change(422, metadatas=[{"x": None}] + [None] * (n - 1)))
        if c.dimension is not None:
            choices.append(lambda: change(400, embeddings=[[0.5] * (c.dimension + 1)] * n))
        if n > 1:
            choices.append(lambda: change(400, embeddings=[[0.5] * (dim + 1)] +
                                          body["embeddings"][1:]))
        return rng.choice(choices)()

    def broken_filter(self, model, c):
        rng = self.rng
        body = {}
        if rng.random() < 0.7:
            body["where"] = rng.choice(BAD_WHERES)
        else:
            body["where_document"] = rng.choice(BAD_WHERE_DOCUMENTS)
        op = rng.choice(["get", "query", "delete"])
        if op == "query":
            dim, _ = self.plan(c)
            body["query_embeddings"] = [self.vector(c, dim)]
        return self.at(op, c, body, expect=400)

    def broken_read(self, model, c):
        dim, _ = self.plan(c)
        vector = self.vector(c, dim)
        choices = [
            ("get", {"include": ["data"]}, 422), ("get", {"include": None}, 422),
            ("get", {"limit": -1}, 422), ("get", {"offset": 1.5}, 422),
            ("get", {"ids": "a"}, 422), ("get", {"ids": [1]}, 422),
            ("get", {"include": [1]}, 400),
            ("query", {}, 422), ("query", {"query_embeddings": "x"}, 422),
            ("query", {"query_embeddings": [vector], "n_results": -1}, 422),
            ("query", {"query_embeddings": [vector], "n_results": "3"}, 422),
            ("query", {"query_embeddings": [["x"]]}, 422),
            ("delete", {"limit": 3}, 400), ("delete", {"ids": []}, 400),
            ("delete", {"ids": ["a"], "limit": 1}, 400), ("delete", {"ids": [1]}, 422),
            ("update", {}, 422),
        ]
        if not self.reference:
            choices += [("get", {"as_of": c.position + 1000}, 412),
                        ("query", {"query_embeddings": [vector], "as_of": 2 ** 64 - 1}, 412),
                        ("get", {"as_of": -1}, 400), ("get", {"as_of": "1"}, 400),
                        ("get", {"as_of": 1.5}, 400), ("get", {"cursor": 5}, 400),
                        ("get", {"cursor": "x"}, 400), ("get", {"cursor": "0" * 64}, 400),
                        ("get", {"cursor": "", "limit": 0}, 400)]
            choices.append(("query", {"query_embeddings": [[1e39] + vector[1:]]}, 400))
            choices += [("query", {"query_embeddings": [vector], **how}, 400)
                        for how in ({"recall_target": 0}, {"recall_target": 1.25},
                                    {"recall_target": "1"}, {"effort": 0}, {"effort": 65537},
                                    {"effort": 2.5}, {"exact": 1}, {"explain": "yes"})]
        if c.dimension is not None:
            choices += [("query", {"query_embeddings": [[0.5] * (c.dimension + 1)]}, 400),
                        ("query", {"query_embeddings": [vector], "ids": ["no such record"]}, 500),
                        ("update", {"ids": ["r1"], "embeddings": [[0.5] * (c.dimension + 1)]},
                         400)]
        op, body, status = self.rng.choice(choices)
        return self.at(op, c, body, expect=status)

    def broken_place(self, model, c):
        op = self.rng.choice(["add", "get", "query", "count", "delete", "update", "upsert"])
        body = {"add": {"ids": ["a"], "embeddings": [[1]]}, "get": {},
                "query": {"query_embeddings": [[1]]}, "count": None, "delete": {"ids": ["a"]},
                "update": {"ids": ["a"]}, "upsert": {"ids": ["a"], "embeddings": [[1]]}}[op]
        request = self.at(op, c, body)
        choice = self.rng.random()
        if choice < 0.4:
            return {**request, "collection": UNKNOWN_ID, "expect": 404}
        if choice < 0.7:
            return {**request, "collection": "not-a-uuid", "expect": 400}
        if choice < 0.85 or self.reference:
            return {**request, "database": "ab", "expect": 400}
        return {**request, "database": "elsewhere", "expect": 404}

    def broken_catalog(self, model, c):
        place = {"tenant": c.tenant, "database": c.database}
        create = {"op": "create_collection", **place}
        choices = [
            {**create, "body": {"name": c.name}, "expect": 409},
            {**create, "body": {"name": "ab"}, "expect": 400},
            {**create, "body": {"name": "-abc"}, "expect": 400},
            {**create, "body": {"name": "1.2.3.4"}, "expect": 400},
            {**create, "body": {"name": "a..b"}, "expect": 400},
            {**create, "body": {}, "expect": 422},
            {**create, "body": {"name": 5}, "expect": 422},
            {**create, "body": {"name": "valid", "metadata": {}}, "expect": 400},
            {**create, "body": {"name": "valid", "metadata": {"#a": 1}}, "expect": 400},
            {**create, "body": {"name": "valid", "get_or_create": None}, "expect": 422},
            {**create, "body": {"name": "valid", "configuration": {"hnsw": {"space": "l3"}}},
             "expect": 422},
            {**create, "body": {"name": "valid", "configuration": {"hnsw": {"bogus": 1}}},
             "expect": 422},
            {**create, "body": {"name": "valid", "metadata": {"hnsw:bogus": 1}}, "expect": 400},
            {**create, "body": {"name": "valid", "schema": {"keys": {}}}, "expect": 422},
            {**create, "database": "nowhere", "body": {"name": "valid"}, "expect": 400},
            {"op": "get_collection", **place, "collection": "missing", "expect": 404},
            {"op": "delete_collection", **place, "collection": "missing", "expect": 404},
            {"op": "get_collection_by_id", **place, "collection": UNKNOWN_ID, "expect": 404},
            {"op": "create_tenant", "body": {"name": "ab"}, "expect": 400},
            {"op": "create_tenant", "body": {"name": DEFAULT_TENANT}, "expect": 409},
            {"op": "create_database", "tenant": DEFAULT_TENANT, "body": {"name": "a b"},
             "expect": 400},
            {"op": "get_tenant", "tenant": "unknown", "expect": 404},
            {"op": "delete_database", "tenant": DEFAULT_TENANT, "database": "missing",
             "expect": 404},
            self.at("modify_collection", c, {"new_name": "x"}, expect=400),
            self.at("modify_collection", c, {"new_metadata": {}}, expect=400),
            self.at("modify_collection", c, {"new_name": 5}, expect=422),
            self.at("modify_collection", c, {"new_configuration": {"hnsw": {"space": "ip"}}},
                    expect=422),
        ]
        if not self.reference:
            choices += [
                {**create, "body": {"name": "valid", "configuration": {"recall_target": 0}},
                 "expect": 400},
                {**create, "body": {"name": "valid", "configuration": {"recall_target": "1"}},
                 "expect": 422},
                {**create, "body": {"name": "valid", "metadata": {"ochre:recall_target": 2}},
                 "expect": 400},
                self.at("modify_collection", c, {"new_configuration": {"recall_target": 1.5}},
                        expect=400),
                self.at("fork", c, {"new_name": c.name}, expect=409),
                self.at("fork", c, {"new_name": "a..b"}, expect=400),
                self.at("fork", c, {"new_name": 5}, expect=422),
                self.at("fork", c, {}, expect=422),
                {**self.at("fork", c, {"new_name": "valid"}), "collection": UNKNOWN_ID,
                 "expect": 404},
                {**self.at("fork_count", c), "collection": UNKNOWN_ID, "expect": 404}]
        others = [x for x in model.in_database(place) if x is not c]
        if others and not self.reference:
            choices.append(self.at("modify_collection", c, {"new_name": others[0].name},
                                   expect=409))
        return self.rng.choice(choices)

    def broken_text(self, model, c):
        text, status = self.rng.choice([
            ("", 400), ("{", 400), ('{"ids":["a"],}', 400), ("{'ids':1}", 400), ("[]", 422),
            ("null", 422), ('"x"', 422), ('{"ids":["a"]} x', 400), ('{"ids":["\\ud800"]}', 400),
            ('{"ids":["a"],"x":NaN}', 400), ('{"x":' + "[" * 127 + "]" * 127 + "}", 400)])
        return {**self.at("get", c), "text": text, "expect": status}
