"""The plainest database that could be right: what ochre is compared with.

Records are Python objects in lists, a query sorts all of them, a filter is
evaluated by the definition.  Nothing is shared with src/, and nothing is fast.

    model = Model()
    expected = model.answer({"op": "add", "tenant": ..., "body": {...}})

answer() takes a request as transport.py sends it and changes the state as the
request asks.  It expects requests that are valid, or refused for a reason that
it checks itself; what the generator breaks on purpose carries its status along
and never reaches the model.
"""
import copy
import math
import re
import struct

DEFAULT_TENANT, DEFAULT_DATABASE = "default_tenant", "default_database"
ZERO_ID = "00000000-0000-0000-0000-000000000000"
I64_MIN, I64_MAX = -(2 ** 63), 2 ** 63 - 1

HNSW_DEFAULTS = {"space": "l2", "ef_construction": 100, "ef_search": 100, "max_neighbors": 16,
                 "resize_factor": 1.2, "sync_threshold": 1000}
RECALL_DEFAULT = 0.99
LEGACY_KEYS = {"hnsw:space": "space", "hnsw:construction_ef": "ef_construction",
               "hnsw:search_ef": "ef_search", "hnsw:M": "max_neighbors",
               "hnsw:resize_factor": "resize_factor", "hnsw:sync_threshold": "sync_threshold",
               "hnsw:batch_size": "batch_size"}
PAST_MAX = 12  # positions of a collection that are remembered
HIDDEN_DEFAULTS = {"batch_size": 100}
INVERTED = {"string": "string_inverted_index", "int": "int_inverted_index",
            "float": "float_inverted_index", "bool": "bool_inverted_index"}


class Refused(Exception):
    """The request is refused with this status; nothing changes."""

    def __init__(self, status):
        super().__init__(status)
        self.status = status


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def stored_value(value):
    """A metadata value as the database keeps it."""
    if isinstance(value, list):
        values = [stored_value(v) for v in value]
        if any(isinstance(v, float) for v in values):
            return [float(v) for v in values]
        return values
    if isinstance(value, int) and not isinstance(value, bool) and not I64_MIN <= value <= I64_MAX:
        return float(value)
    return value


def type_name(value):
    if isinstance(value, list):
        return type_name(value[0])
    if isinstance(value, bool):
        return "bool"
    return {int: "int", float: "float", str: "string"}[type(value)]


# Filters -------------------------------------------------------------------

def equal(a, b):
    """Strings, truth values and numbers are three worlds; lists equal nothing."""
    if isinstance(a, list) or a is None:
        return False
    if isinstance(a, bool) or isinstance(b, bool):
        return isinstance(a, bool) and isinstance(b, bool) and a == b
    if isinstance(a, str) or isinstance(b, str):
        return isinstance(a, str) and isinstance(b, str) and a == b
    return a == b  # Python compares int and float exactly


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def document_leaf(op, operand, document):
    if op == "$contains":
        return document is not None and operand in document
    if op == "$not_contains":
        return not (document is not None and operand in document)
    found = document is not None and re.search(operand, document) is not None
    return found if op == "$regex" else not found


def value_leaf(op, x, v):
    if op == "$eq":
        return equal(v, x)
    if op == "$ne":
        return not equal(v, x)
    if op == "$in":
        return any(equal(v, y) for y in x)
    if op == "$nin":
        return not any(equal(v, y) for y in x)
    if op in ("$contains", "$not_contains"):
        has = isinstance(v, list) and any(type(e) is type(x) and e == x for e in v)
        return has if op == "$contains" else not has
    if not is_number(v):
        return False
    return {"$gt": v > x, "$gte": v >= x, "$lt": v < x, "$lte": v <= x}[op]


def leaf_parts(where):
    (key, operand), = where.items()
    if not isinstance(operand, dict):
        return key, "$eq", operand
    (op, operand), = operand.items()
    return key, op, operand


def matches(where, record):
    if where is None:
        return True
    (key, value), = where.items()
    if key == "$and":
        return all(matches(w, record) for w in value)
    if key == "$or":
        return any(matches(w, record) for w in value)
    if key in ("$contains", "$not_contains", "$regex", "$not_regex"):
        return document_leaf(key, value, record.document)
    key, op, operand = leaf_parts(where)
    if key == "#document":
        return document_leaf(op, operand, record.document)
    if key == "#id":
        return value_leaf(op, operand, record.id)
    return value_leaf(op, operand, record.metadata.get(key))


def leaves(where):
    if where is None:
        return
    (key, value), = where.items()
    if key in ("$and", "$or"):
        for w in value:
            yield from leaves(w)
    elif key.startswith("$"):
        yield "#document", key, value
    else:
        yield leaf_parts(where)


# Distances -----------------------------------------------------------------

def distance(space, a, b):
    dot = math.fsum(x * y for x, y in zip(a, b))
    if space == "l2":
        return math.fsum((x - y) * (x - y) for x, y in zip(a, b))
    if space == "ip":
        return 1.0 - dot
    norms = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(x * x for x in b))
    return 1.0 - dot / norms if norms > 0 else 1.0


# State ---------------------------------------------------------------------

class Record:
    def __init__(self, record_id, vector):
        self.id, self.vector = record_id, vector
        self.document = self.uri = None
        self.metadata = {}

    def copy(self):
        other = Record(self.id, self.vector)
        other.document, other.uri, other.metadata = self.document, self.uri, dict(self.metadata)
        return other


class Collection:
    def __init__(self, name, tenant, database):
        self.name, self.tenant, self.database = name, tenant, database
        self.id = None  # what the server said
        self.origin = None  # the id of what it was forked from
        self.tree = object()  # the same for all that were forked from each other
        self.metadata = None
        self.hnsw = dict(HNSW_DEFAULTS)
        self.recall_target = RECALL_DEFAULT
        self.embedding_function = None
        self.dimension = None
        self.records = {}  # by id, in order of insertion
        self.keys = {}     # metadata key -> set of value types seen or configured
        self.disabled = set()          # (key, type) whose index is off
        self.disabled_defaults = set()  # types whose index is off for new keys
        self.document_index = True
        self.past = {}       # position -> the records as they were there
        self.position = 0    # the newest one that is known
        self.sure_from = 0   # positions from here on can be read
        self.pins = {}       # name -> position; what there was there is kept, and can be read

    def remember(self, position):
        """What an answer says: now it is at this position.  It only moves when something is
        written, and what there was at a position never changes."""
        self.position = position
        now = {i: r.copy() for i, r in self.records.items()}
        before = self.past.setdefault(position, now)
        same = list(before) == list(now) and all(vars(before[i]) == vars(now[i]) for i in now)
        pinned = set(self.pins.values())
        loose = sorted(p for p in self.past if p not in pinned)
        for old in loose[:max(0, len(loose) - PAST_MAX)]:
            del self.past[old]
        return same

    def as_of(self, position):
        """This collection at a position: what is decided about it is as it is now."""
        if position is None:
            return self
        if position not in self.past:
            raise Refused(412)
        then = copy.copy(self)
        then.records = self.past[position]
        return then

    def find(self, record_id):
        return self.records.get(record_id)

    def grow(self, metadata):
        for key, value in metadata.items():
            if value is None or key.startswith("chroma:"):
                continue
            kind = type_name(value)
            types = self.keys.setdefault(key, set())
            if kind not in types:
                types.add(kind)
                if kind in self.disabled_defaults:
                    self.disabled.add((key, kind))

    def check_indexed(self, where):
        """Refuse a filter on what is not indexed."""
        for key, _, operand in leaves(where):
            if key == "#document":
                if not self.document_index:
                    raise Refused(400)
                continue
            if key == "#id":
                continue
            kind = type_name(operand)
            known = kind in self.keys.get(key, ())
            if (key, kind) in self.disabled or (not known and kind in self.disabled_defaults):
                raise Refused(400)

    def select(self, body):
        """The records that ids and filters leave, in order of insertion."""
        ids = body.get("ids")
        wanted = None if ids is None else set(ids)
        return [r for r in self.records.values()
                if (wanted is None or r.id in wanted)
                and matches(body.get("where"), r)
                and matches(body.get("where_document"), r)]

    def shown_recall(self):
        """Shown only where it is not the default."""
        if self.recall_target == RECALL_DEFAULT:
            return {}
        return {"recall_target": self.recall_target}

    def described(self):
        return {"id": self.id, "name": self.name, "tenant": self.tenant,
                "database": self.database, "metadata": self.metadata,
                "dimension": self.dimension,
                "configuration_json": {"hnsw": dict(self.hnsw), "spann": None,
                                       "embedding_function": self.embedding_function,
                                       **self.shown_recall()},
                "keys": {k: set(v) for k, v in self.keys.items()}}


class Model:
    def __init__(self):
        self.reset()

    def reset(self):
        self.tenants = {DEFAULT_TENANT}
        self.databases = {DEFAULT_TENANT: {DEFAULT_DATABASE}}
        self.collections = []  # in order of creation

    def copy(self):
        return copy.deepcopy(self)

    # Looking up ------------------------------------------------------------

    def in_database(self, request):
        if len(request["database"]) < 3:
            raise Refused(400)
        return [c for c in self.collections
                if (c.tenant, c.database) == (request["tenant"], request["database"])]

    def by_name(self, request):
        for c in self.in_database(request):
            if c.name == request["collection"]:
                return c
        raise Refused(404)

    def by_id(self, request):
        for c in self.in_database(request):
            if c.id == request["collection"]:
                return c
        raise Refused(404)

    # One request -------------------------------------------------------------

    def answer(self, request):
        """(status, what the body says); the state changes as the request asks."""
        try:
            return getattr(self, "op_" + request["op"])(request, request.get("body") or {})
        except Refused as refused:
            return refused.status, None

    def op_create_tenant(self, request, body):
        if body["name"] in self.tenants:
            raise Refused(409)
        self.tenants.add(body["name"])
        return 200, {}

    def op_get_tenant(self, request, body):
        if request["tenant"] not in self.tenants:
            raise Refused(404)
        return 200, {"name": request["tenant"]}

    def op_create_database(self, request, body):
        names = self.databases.setdefault(request["tenant"], set())
        if body["name"] in names:
            raise Refused(409)
        names.add(body["name"])
        return 200, {}

    def op_get_database(self, request, body):
        if request["database"] not in self.databases.get(request["tenant"], ()):
            raise Refused(404)
        return 200, {"name": request["database"], "tenant": request["tenant"]}

    def op_list_databases(self, request, body):
        names = sorted(self.databases.get(request["tenant"], ()), key=str.encode)
        return 200, [{"name": n, "tenant": request["tenant"]} for n in page(names, request)]

    def op_delete_database(self, request, body):
        names = self.databases.get(request["tenant"], set())
        if request["database"] not in names:
            raise Refused(404)
        names.remove(request["database"])
        self.collections = [c for c in self.collections if (c.tenant, c.database) !=
                            (request["tenant"], request["database"])]
        return 200, {}

    def op_create_collection(self, request, body):
        existing = [c for c in self.in_database(request) if c.name == body["name"]]
        if request["database"] not in self.databases.get(request["tenant"], ()):
            raise Refused(400)
        if existing:
            if not body.get("get_or_create"):
                raise Refused(409)
            return 200, existing[0]
        c = Collection(body["name"], request["tenant"], request["database"])
        c.metadata = copy.deepcopy(body.get("metadata"))
        configure(c, body)
        self.collections.append(c)
        return 200, c

    def op_get_collection(self, request, body):
        return 200, self.by_name(request)

    def op_get_collection_by_id(self, request, body):
        return 200, self.by_id(request)

    def op_list_collections(self, request, body):
        return 200, page(self.in_database(request), request)

    def op_count_collections(self, request, body):
        return 200, len(self.in_database(request))

    def op_modify_collection(self, request, body):
        c = self.by_id(request)
        name = body.get("new_name")
        if name is not None and name != c.name:
            if any(other.name == name for other in self.in_database(request)):
                raise Refused(409)
            c.name = name
        metadata = body.get("new_metadata")
        if metadata is not None:
            c.metadata = {k: v for k, v in metadata.items() if v is not None} or None
        configuration = body.get("new_configuration")
        if configuration is not None:
            for key, value in (configuration.get("hnsw") or {}).items():
                if key in c.hnsw:
                    c.hnsw[key] = value
            if configuration.get("embedding_function") is not None:
                c.embedding_function = configuration["embedding_function"]
            c.recall_target = recall_given(configuration) or c.recall_target
        return 200, {}

    def op_fork(self, request, body):
        source = self.by_id(request)
        if any(c.name == body["new_name"] for c in self.in_database(request)):
            raise Refused(409)
        c = copy.deepcopy(source)
        c.name, c.id, c.origin, c.tree = body["new_name"], None, source.id, source.tree
        c.past = {p: r for p, r in c.past.items() if p == c.position}
        c.sure_from = c.position
        c.pins = {}
        self.collections.append(c)
        return 200, c

    def op_pin(self, request, body):
        """Where it is, the answer says (run.py)."""
        if body["name"] in self.by_id(request).pins:
            raise Refused(409)
        return 200, {"name": body["name"]}

    def op_unpin(self, request, body):
        if self.by_id(request).pins.pop(request["pin"], None) is None:
            raise Refused(404)
        return 200, {}

    def op_pins(self, request, body):
        return 200, [{"name": name, "position": position}
                     for name, position in self.by_id(request).pins.items()]

    def op_fork_count(self, request, body):
        tree = self.by_id(request).tree
        return 200, {"count": sum(c.origin is not None for c in self.collections
                                  if c.tree is tree)}

    def op_delete_collection(self, request, body):
        self.collections.remove(self.by_name(request))
        return 200, {}

    def op_reset(self, request, body):
        self.reset()
        return 200, True

    # Records -----------------------------------------------------------------

    def op_count(self, request, body):
        return 200, len(self.by_id(request).as_of(request.get("as_of")).records)

    def op_add(self, request, body):
        return self.write(request, body, self.add_one, 201)

    def op_upsert(self, request, body):
        return self.write(request, body, self.upsert_one, 200)

    def op_update(self, request, body):
        return self.write(request, body, self.update_one, 200)

    def write(self, request, body, one, status):
        c = self.by_id(request)
        vectors = [None if v is None else [f32(x) for x in v]
                   for v in body.get("embeddings") or [None] * len(body["ids"])]
        for v in vectors:
            if v is not None:
                c.dimension = len(v)
        for i, record_id in enumerate(body["ids"]):
            part = {name: (body.get(column) or [None] * len(body["ids"]))[i]
                    for column, name in (("documents", "document"), ("uris", "uri"),
                                         ("metadatas", "metadata"))}
            one(c, record_id, vectors[i], part)
        return status, {}

    def insert(self, c, record_id, vector, part):
        record = Record(record_id, vector)
        c.records[record_id] = record
        self.change(c, record, None, part)

    @staticmethod
    def change(c, record, vector, part):
        if vector is not None:
            record.vector = vector
        if part["document"] is not None:
            record.document = part["document"]
        if part["uri"] is not None:
            record.uri = part["uri"]
        metadata = {k: stored_value(v) for k, v in (part["metadata"] or {}).items()}
        c.grow(metadata)
        for key, value in metadata.items():
            if value is None:
                record.metadata.pop(key, None)
            else:
                record.metadata[key] = value

    def add_one(self, c, record_id, vector, part):
        if c.find(record_id) is None:
            self.insert(c, record_id, vector, part)

    def update_one(self, c, record_id, vector, part):
        record = c.find(record_id)
        if record is not None:
            self.change(c, record, vector, part)

    def upsert_one(self, c, record_id, vector, part):
        record = c.find(record_id)
        if record is None:
            self.insert(c, record_id, vector, part)
        else:
            self.change(c, record, vector, part)

    def op_delete(self, request, body):
        c = self.by_id(request)
        ids, limit = body.get("ids"), body.get("limit")
        filtered = body.get("where") is not None or body.get("where_document") is not None
        if ids is None and not filtered:
            return 200, {"deleted": 0}
        c.check_indexed(body.get("where"))
        c.check_indexed(body.get("where_document"))
        chosen = c.select(body)
        if limit is not None:
            chosen = chosen[:limit]
        for record in chosen:
            del c.records[record.id]
        return 200, {"deleted": len(chosen) if filtered else len(ids)}

    def op_get(self, request, body):
        c = self.by_id(request).as_of(body.get("as_of"))
        c.check_indexed(body.get("where"))
        c.check_indexed(body.get("where_document"))
        chosen = page(c.select(body), {"limit": body.get("limit"), "offset": body.get("offset")})
        include = body.get("include", ["documents", "metadatas"])
        return 200, {"ids": [r.id for r in chosen], "records": chosen, "include": include}

    def op_query(self, request, body):
        c = self.by_id(request).as_of(body.get("as_of"))
        c.check_indexed(body.get("where"))
        c.check_indexed(body.get("where_document"))
        queries = [[f32(x) for x in q] for q in body["query_embeddings"]]
        if c.dimension is not None and any(len(q) != c.dimension for q in queries):
            raise Refused(400)
        filtered = body.get("where") is not None or body.get("where_document") is not None
        if body.get("ids") and not filtered and c.dimension is not None:
            if any(c.find(i) is None for i in body["ids"]):
                raise Refused(500)
        k = body.get("n_results")
        candidates = c.select(body)
        explain = None
        if body.get("explain"):
            exact = body.get("exact") or body.get("recall_target") == 1
            explain = {"rows": len(c.records), "matches": len(candidates),
                       "recall_target": 1.0 if exact else c.recall_target}
        ranked = []
        for q in queries:
            hits = [(distance(c.hnsw["space"], r.vector, q), r) for r in candidates]
            hits.sort(key=lambda hit: hit[0])  # stable: ties stay in order of insertion
            ranked.append(hits)
        return 200, {"ranked": ranked, "k": 10 if k is None else k, "space": c.hnsw["space"],
                     "explain": explain,
                     "include": body.get("include", ["documents", "metadatas", "distances"])}


def page(items, request):
    offset = request.get("offset") or 0
    limit = request.get("limit")
    return items[offset:] if limit is None else items[offset:offset + limit]


def recall_given(configuration):
    return (configuration.get("recall_target") or
            (configuration.get("hnsw") or {}).get("recall_target"))


def configure(c, body):
    """The configuration that request, legacy metadata and schema give together."""
    configuration = body.get("configuration") or {}
    c.recall_target = (recall_given(configuration) or
                       (body.get("schema") or {}).get("recall_target") or
                       (body.get("metadata") or {}).get("ochre:recall_target") or RECALL_DEFAULT)
    hnsw = {k: v for k, v in (configuration.get("hnsw") or {}).items()
            if v is not None and k != "recall_target"}
    defaults = {**HNSW_DEFAULTS, **HIDDEN_DEFAULTS}
    legacy = {LEGACY_KEYS[k]: v for k, v in (body.get("metadata") or {}).items()
              if k in LEGACY_KEYS}
    if all(defaults[k] == v for k, v in hnsw.items()):
        hnsw = legacy
    c.hnsw.update({k: v for k, v in hnsw.items() if k in c.hnsw})
    c.embedding_function = configuration.get("embedding_function")
    for kind, index in INVERTED.items():
        part = ((body.get("schema") or {}).get("defaults") or {}).get(kind) or {}
        if index in part and not part[index]["enabled"]:
            c.disabled_defaults.add(kind)
    for key, value_types in ((body.get("schema") or {}).get("keys") or {}).items():
        if key == "#document":
            fts = value_types.get("string", {}).get("fts_index")
            c.document_index = fts is None or fts["enabled"]
            continue
        for kind, index in INVERTED.items():
            if kind in value_types:
                c.keys.setdefault(key, set()).add(kind)
                if not value_types[kind][index]["enabled"]:
                    c.disabled.add((key, kind))
