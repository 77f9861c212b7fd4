#!/usr/bin/env python3
"""The C API as a program: a request a line on stdin, an answer a line on stdout.

    capi_driver.py build/release/libochre.so.0 DIRECTORY

Requests are those of transport.py.  Each is turned into the structs of
include/ochre, by hand, as a program in C would; the answer has the form that
HTTP gives it, {"status": 200, "body": {...}}, so that one model judges both.
A request that C has no words for, a number where the API takes a string say,
is answered with status null.  End of input closes the database.  Standard
library only.
"""
import ctypes
import json
import struct
import sys
from ctypes import (CFUNCTYPE, POINTER, Structure, Union, byref, c_bool, c_char, c_char_p, c_double,
                    c_float, c_int, c_int64, c_size_t, c_uint, c_uint32, c_uint64, c_void_p, sizeof)

# The structs of include/ochre/types.h and ochre.h --------------------------------


class Bytes(Structure):
    _fields_ = [("data", c_void_p), ("size", c_size_t)]


class Pin(Structure):
    _fields_ = [("size", c_size_t), ("name", Bytes), ("position", c_uint64),
                ("created_unix_s", c_uint64), ("n_bytes", c_uint64), ("text", c_char * 513)]


class ValueAs(Union):
    _fields_ = [("boolean", c_bool), ("integer", c_int64), ("number", c_double),
                ("string", Bytes), ("booleans", POINTER(c_bool)), ("integers", POINTER(c_int64)),
                ("numbers", POINTER(c_double)), ("strings", POINTER(Bytes))]


class Value(Structure):
    _fields_ = [("type", c_int), ("n", c_uint32), ("of", ValueAs)]


class Field(Structure):
    _fields_ = [("key", Bytes), ("value", Value)]


class Metadata(Structure):
    _fields_ = [("fields", POINTER(Field)), ("n_fields", c_size_t)]


class Records(Structure):
    _fields_ = [("n", c_size_t), ("ids", POINTER(Bytes)), ("embeddings", POINTER(c_float)),
                ("dim", c_size_t), ("dims", POINTER(c_uint32)), ("documents", POINTER(Bytes)),
                ("uris", POINTER(Bytes)), ("metadatas", POINTER(Metadata))]


class Node(Structure):
    _fields_ = [("op", c_int), ("field", c_int), ("size", c_uint32), ("key", Bytes),
                ("value", Value)]


class Filter(Structure):
    _fields_ = [("nodes", POINTER(Node)), ("n_nodes", c_size_t)]


class Hit(Structure):
    _fields_ = [("id", Bytes), ("document", Bytes), ("uri", Bytes),
                ("embedding", POINTER(c_float)), ("distance", c_float), ("metadata", Metadata)]


class Error(Structure):
    _fields_ = [("status", c_int), ("message", c_char * 500)]


class Options(Structure):
    _fields_ = [("size", c_size_t), ("must_exist", c_bool), ("allow_reset", c_bool),
                ("read_only", c_bool), ("n_threads", c_uint), ("memory_limit", c_size_t),
                ("simd", c_char_p), ("seal_rows", c_uint32), ("retain_seconds", c_uint32),
                ("archive", c_char_p)]


class CollectionOptions(Structure):
    _fields_ = [("size", c_size_t), ("tenant", c_char_p), ("database", c_char_p),
                ("get_or_create", c_bool), ("space", c_int), ("metadata", Metadata),
                ("configuration", Bytes), ("schema", Bytes)]


class Info(Structure):
    _fields_ = [("id", c_char * 37), ("tenant", Bytes), ("database", Bytes), ("name", Bytes),
                ("metadata", Metadata), ("configuration", Bytes), ("schema", Bytes),
                ("space", c_int), ("dim", c_uint32)]


class Selection(Structure):
    _fields_ = [("ids", POINTER(Bytes)), ("n_ids", c_size_t), ("filter", Filter)]


class Get(Structure):
    _fields_ = [("selection", Selection), ("offset", c_uint64), ("limit", c_uint64),
                ("include", c_uint), ("as_of", POINTER(c_uint64)), ("pages", c_bool),
                ("cursor", Bytes)]


class Query(Structure):
    _fields_ = [("size", c_size_t), ("selection", Selection), ("queries", POINTER(c_float)),
                ("n_queries", c_size_t), ("dim", c_size_t), ("k", c_uint32), ("include", c_uint),
                ("exact", c_bool), ("explain", c_bool), ("recall_target", c_float),
                ("effort", c_uint32), ("as_of", POINTER(c_uint64))]


class ExplainSource(Structure):
    _fields_ = [("kind", c_int), ("plan", c_int), ("rows", c_uint64), ("matches", c_uint64),
                ("estimated_cost_us", c_double), ("elapsed_us", c_double),
                ("n_distances", c_uint64), ("n_estimates", c_uint64), ("n_hops", c_uint64),
                ("effort", c_uint32)]


class Explain(Structure):
    _fields_ = [("plan", c_int), ("recall_target", c_float), ("sources", POINTER(ExplainSource)),
                ("n_sources", c_size_t)]


KINDS = ("head", "flat", "graph")
PLANS = ("empty", "exact_gather", "exact_scan", "graph", "graph_filtered")
VISIT_NAME = CFUNCTYPE(c_bool, c_void_p, Bytes)
VISIT_PIN = CFUNCTYPE(c_bool, c_void_p, POINTER(Pin))
VISIT_INFO = CFUNCTYPE(c_bool, c_void_p, POINTER(Info))
NO_LIMIT = 2 ** 64 - 1
SIGNATURES = {
    "open": [c_char_p, POINTER(Options), POINTER(c_void_p), POINTER(Error)],
    "reset": [c_void_p, POINTER(Error)],
    "seal": [c_void_p, POINTER(Error)],
    "compact": [c_void_p, POINTER(Error)],
    "tenant_create": [c_void_p, c_char_p, POINTER(Error)],
    "tenant_check": [c_void_p, c_char_p, POINTER(Error)],
    "database_create": [c_void_p, c_char_p, c_char_p, POINTER(Error)],
    "database_check": [c_void_p, c_char_p, c_char_p, POINTER(Error)],
    "database_delete": [c_void_p, c_char_p, c_char_p, POINTER(Error)],
    "database_list": [c_void_p, c_char_p, VISIT_NAME, c_void_p, POINTER(Error)],
    "collection_create": [c_void_p, c_char_p, POINTER(CollectionOptions), POINTER(c_void_p),
                          POINTER(Error)],
    "collection_open": [c_void_p, c_char_p, c_char_p, c_char_p, POINTER(c_void_p),
                        POINTER(Error)],
    "collection_delete": [c_void_p, c_char_p, c_char_p, c_char_p, POINTER(Error)],
    "collection_fork": [c_void_p, c_char_p, POINTER(c_void_p), POINTER(Error)],
    "pin_create": [c_void_p, c_char_p, POINTER(Pin), POINTER(Error)],
    "pin_delete": [c_void_p, c_char_p, POINTER(Error)],
    "pin_list": [c_void_p, VISIT_PIN, c_void_p, POINTER(Error)],
    "collection_fork_count": [c_void_p, POINTER(c_uint64), POINTER(Error)],
    "collection_update": [c_void_p, c_char_p, POINTER(Metadata), Bytes, POINTER(Error)],
    "collection_describe": [c_void_p, VISIT_INFO, c_void_p, POINTER(Error)],
    "collection_list": [c_void_p, c_char_p, c_char_p, c_uint64, c_uint64, VISIT_INFO, c_void_p,
                        POINTER(Error)],
    "add": [c_void_p, POINTER(Records), POINTER(Error)],
    "update": [c_void_p, POINTER(Records), POINTER(Error)],
    "upsert": [c_void_p, POINTER(Records), POINTER(Error)],
    "delete": [c_void_p, POINTER(Selection), c_uint64, POINTER(c_uint64), POINTER(Error)],
    "get": [c_void_p, POINTER(Get), POINTER(c_void_p), POINTER(Error)],
    "query": [c_void_p, POINTER(Query), POINTER(c_void_p), POINTER(Error)],
    "count": [c_void_p, POINTER(c_uint64), POINTER(Error)],
    "count_as_of": [c_void_p, POINTER(c_uint64), POINTER(c_uint64), POINTER(c_uint64),
                    POINTER(Error)],
}

NULL, BOOL, INT, FLOAT, STRING = range(5)
LIST = 4  # a list's type is its members' plus this
AND, OR = 1, 2
OPERATORS = {"$eq": 3, "$ne": 4, "$gt": 5, "$gte": 6, "$lt": 7, "$lte": 8, "$in": 9, "$nin": 10,
             "$contains": 11, "$not_contains": 12, "$regex": 13, "$not_regex": 14}
METADATA, DOCUMENT, ID = range(3)
INCLUDE = {"documents": 1, "metadatas": 2, "embeddings": 4, "uris": 8, "distances": 16}

# What HTTP says for each ochre_status, and how it calls it.
HTTP = {0: 200, 1: 503, 2: 400, 3: 404, 4: 500, 5: 409, 6: 500, 7: 507, 8: 503, 9: 501, 10: 403,
        11: 503, 12: 422, 13: 413, 14: 500, 15: 412}
NAMES = {400: "InvalidArgumentError", 404: "NotFoundError", 412: "StaleReadError",
         500: "InternalError"}


class Unsayable(Exception):
    """The C API has no words for this request."""


class Refused(Exception):
    def __init__(self, error):
        super().__init__(error.message.decode())
        self.status = HTTP[error.status]


def sayable(condition):
    if not condition:
        raise Unsayable


# From JSON to structs --------------------------------------------------------------


def c_name(text):
    """A NUL-terminated name."""
    sayable(isinstance(text, str) and "\0" not in text)
    return text.encode()


class Arena:
    """Structs and the bytes that they point to, alive for one request."""

    def __init__(self):
        self.kept = []

    def bytes(self, text):
        if text is None:
            return Bytes(None, 0)
        sayable(isinstance(text, str))
        raw = text.encode()
        buffer = ctypes.create_string_buffer(raw, max(1, len(raw)))
        self.kept.append(buffer)
        return Bytes(ctypes.addressof(buffer), len(raw))

    def array(self, kind, items):
        """Never NULL, so that none differs from not given."""
        items = list(items)
        array = (kind * max(1, len(items)))(*items)
        self.kept.append(array)
        return ctypes.cast(array, POINTER(kind))

    def texts(self, texts):
        sayable(isinstance(texts, list))
        return self.array(Bytes, [self.bytes(t) for t in texts])

    def floats(self, numbers):
        def narrow(x):
            sayable(isinstance(x, (int, float)) and not isinstance(x, bool))
            try:
                return struct.unpack("<f", struct.pack("<f", x))[0]
            except OverflowError:
                return float("inf") if x > 0 else float("-inf")
        return self.array(c_float, [narrow(x) for x in numbers])

    @staticmethod
    def type_of(value):
        kinds = {bool: BOOL, int: INT, float: FLOAT, str: STRING}
        if value is None:
            return NULL
        sayable(type(value) in kinds)
        return kinds[type(value)]

    def value(self, value):
        out = Value()
        if isinstance(value, list):
            return self.list_value(value)
        out.type = self.type_of(value)
        if out.type == BOOL:
            out.of.boolean = value
        elif out.type == INT:
            sayable(-2 ** 63 <= value < 2 ** 63)
            out.of.integer = value
        elif out.type == FLOAT:
            out.of.number = value
        elif out.type == STRING:
            out.of.string = self.bytes(value)
        return out

    def list_value(self, values):
        types = {self.type_of(v) for v in values}
        if types == {INT, FLOAT}:
            values, types = [float(v) for v in values], {FLOAT}
        sayable(len(types) == 1 and NULL not in types)
        kind, = types
        out = Value()
        out.type, out.n = kind + LIST, len(values)
        if kind == BOOL:
            out.of.booleans = self.array(c_bool, values)
        elif kind == INT:
            sayable(all(-2 ** 63 <= v < 2 ** 63 for v in values))
            out.of.integers = self.array(c_int64, values)
        elif kind == FLOAT:
            out.of.numbers = self.array(c_double, values)
        else:
            out.of.strings = self.texts(values)
        return out

    def metadata(self, metadata):
        if metadata is None:
            return Metadata(None, 0)
        sayable(isinstance(metadata, dict))
        fields = [Field(self.bytes(k), self.value(v)) for k, v in metadata.items()]
        return Metadata(self.array(Field, fields), len(fields))

    # Records -----------------------------------------------------------------------

    def records(self, op, body):
        ids, n = body.get("ids"), len(body.get("ids") or [])
        sayable(isinstance(ids, list) and None not in ids)
        for column in ("embeddings", "documents", "uris", "metadatas"):
            if body.get(column) is not None:
                sayable(isinstance(body[column], list) and len(body[column]) == n)
        out = Records()
        out.n, out.ids = n, self.texts(ids)
        if body.get("embeddings") is not None:
            self.vectors(op, out, body["embeddings"])
        else:
            sayable(op == "update")
        if body.get("documents") is not None:
            out.documents = self.texts(body["documents"])
        if body.get("uris") is not None:
            out.uris = self.texts(body["uris"])
        if body.get("metadatas") is not None:
            # A null among the values of a new record is dropped here, not refused.
            sayable(op != "add" or not any(None in (m or {}).values() for m in body["metadatas"]
                                           if isinstance(m, dict)))
            out.metadatas = self.array(Metadata, [self.metadata(m) for m in body["metadatas"]])
        return out

    def vectors(self, op, out, vectors):
        sayable(all(isinstance(v, list) or (v is None and op == "update") for v in vectors))
        dims = [len(v or []) for v in vectors]
        out.embeddings = self.floats(x for v in vectors for x in v or [])
        if len(set(dims)) == 1 and dims[0] > 0:
            out.dim = dims[0]
        else:
            out.dims = self.array(c_uint32, dims)

    # Filters -----------------------------------------------------------------------

    def leaf(self, field, key, op, operand):
        sayable(op in OPERATORS)
        node = Node()
        node.op, node.field, node.size = OPERATORS[op], field, 1
        node.key = self.bytes(key)
        node.value = self.value(operand)
        return [node]

    def group(self, op, members):
        node = Node()
        node.op, node.size = op, 1 + sum(len(m) for m in members)
        return [node] + [node for member in members for node in member]

    def where(self, where):
        """A filter's nodes, in prefix order."""
        sayable(isinstance(where, dict) and len(where) == 1)
        (key, value), = where.items()
        if key in ("$and", "$or"):
            sayable(isinstance(value, list))
            return self.group(AND if key == "$and" else OR, [self.where(w) for w in value])
        sayable(not key.startswith("$"))
        field = {"#document": DOCUMENT, "#id": ID}.get(key, METADATA)
        if not isinstance(value, dict):
            sayable(not isinstance(value, list))
            return self.leaf(field, key, "$eq", value)
        sayable(len(value) == 1)
        (op, operand), = value.items()
        return self.leaf(field, key, op, operand)

    def where_document(self, where):
        sayable(isinstance(where, dict) and len(where) == 1)
        (op, operand), = where.items()
        if op in ("$and", "$or"):
            sayable(isinstance(operand, list))
            return self.group(AND if op == "$and" else OR,
                              [self.where_document(w) for w in operand])
        return self.leaf(DOCUMENT, None, op, operand)

    def selection(self, body):
        out = Selection()
        if body.get("ids") is not None:
            sayable(isinstance(body["ids"], list) and None not in body["ids"])
            out.ids, out.n_ids = self.texts(body["ids"]), len(body["ids"])
        trees = []
        if body.get("where") is not None:
            trees.append(self.where(body["where"]))
        if body.get("where_document") is not None:
            trees.append(self.where_document(body["where_document"]))
        if trees:
            nodes = trees[0] if len(trees) == 1 else self.group(AND, trees)
            out.filter.nodes, out.filter.n_nodes = self.array(Node, nodes), len(nodes)
        return out


# From structs to JSON ----------------------------------------------------------------


def text_of(b):
    return None if b.data is None else ctypes.string_at(b.data, b.size).decode()


def value_of(value):
    if value.type > LIST:
        items = {BOOL: value.of.booleans, INT: value.of.integers, FLOAT: value.of.numbers,
                 STRING: value.of.strings}[value.type - LIST]
        members = [items[i] for i in range(value.n)]
        return [text_of(m) for m in members] if value.type == STRING + LIST else members
    return {NULL: lambda: None, BOOL: lambda: value.of.boolean, INT: lambda: value.of.integer,
            FLOAT: lambda: value.of.number, STRING: lambda: text_of(value.of.string)}[value.type]()


def metadata_of(metadata):
    fields = [metadata.fields[i] for i in range(metadata.n_fields)]
    return {text_of(f.key): value_of(f.value) for f in fields} or None


def whole(number):
    """A limit or an offset, or None."""
    sayable(number is None or (type(number) is int and 0 <= number < 2 ** 64))
    return number


class Database:
    def __init__(self, library, directory):
        self.library = ctypes.CDLL(library)
        for name, arguments in SIGNATURES.items():
            function = getattr(self.library, "ochre_" + name)
            function.argtypes, function.restype = arguments, c_int
        for name, arguments, result in (
                ("close", [c_void_p], None), ("collection_close", [c_void_p], None),
                ("result_close", [c_void_p], None), ("result_lists", [c_void_p], c_size_t),
                ("result_dim", [c_void_p], c_uint32),
                ("result_position", [c_void_p], c_uint64), ("result_cursor", [c_void_p], Bytes),
                ("collection_written", [c_void_p], c_uint64),
                ("result_explain", [c_void_p, c_size_t], POINTER(Explain)),
                ("result_hits", [c_void_p, c_size_t, POINTER(c_size_t)], POINTER(Hit))):
            function = getattr(self.library, "ochre_" + name)
            function.argtypes, function.restype = arguments, result
        self.position = None  # what the last answer says of it
        self.handles = {}  # open collections by id, dropped ones too
        self.db = c_void_p()
        options = Options(size=sizeof(Options), allow_reset=True, n_threads=2, seal_rows=20)
        self.call("open", directory.encode(), byref(options), byref(self.db))

    def call(self, name, *arguments):
        error = Error()
        status = getattr(self.library, "ochre_" + name)(*arguments, byref(error))
        if status != 0:
            assert error.status == status and error.message, (name, status, error.status)
            raise Refused(error)

    def close(self):
        for handle in self.handles.values():
            self.library.ochre_collection_close(handle)
        self.library.ochre_close(self.db)

    # Collections -----------------------------------------------------------------------

    @staticmethod
    def shown(info):
        out = {"id": info.id.decode(), "tenant": text_of(info.tenant),
               "database": text_of(info.database), "name": text_of(info.name),
               "metadata": metadata_of(info.metadata),
               "configuration_json": json.loads(text_of(info.configuration)),
               "schema": json.loads(text_of(info.schema)), "dimension": info.dim or None,
               "log_position": 0, "version": 0}
        assert out["configuration_json"]["hnsw"]["space"] == ["l2", "cosine", "ip"][info.space]
        return out

    def described(self, handle):
        seen = []

        def visit(_, info):
            seen.append(self.shown(info.contents))
            return True
        self.call("collection_describe", handle, VISIT_INFO(visit), None)
        return seen[0]

    def listed(self, request, limit=None, offset=0):
        sayable(len(request["database"]) >= 3)  # a rule of the wire's
        seen = []

        def visit(_, info):
            seen.append(self.shown(info.contents))
            return True
        self.call("collection_list", self.db, c_name(request["tenant"]),
                  c_name(request["database"]), NO_LIMIT if limit is None else limit, offset,
                  VISIT_INFO(visit), None)
        return seen

    def keep(self, handle, collection_id):
        """One handle for each collection."""
        if collection_id in self.handles:
            self.library.ochre_collection_close(handle)
        else:
            self.handles[collection_id] = handle
        return self.handles[collection_id]

    def by_id(self, request):
        """A handle; one of a dropped collection is used on, to be refused."""
        collection_id = request["collection"]
        for found in self.listed(request):
            if found["id"] == collection_id and collection_id not in self.handles:
                handle = c_void_p()
                self.call("collection_open", self.db, c_name(found["tenant"]),
                          c_name(found["database"]), c_name(found["name"]), byref(handle))
                return self.keep(handle, collection_id)
            if found["id"] == collection_id:
                return self.handles[collection_id]
        sayable(len(collection_id) == 36)  # handles have no malformed ids
        if collection_id in self.handles and self.is_dropped(collection_id):
            return self.handles[collection_id]
        raise Refused(Error(status=3, message=b"no such collection"))

    def is_dropped(self, collection_id):
        try:
            self.described(self.handles[collection_id])
        except Refused:
            return True
        return False

    # Operations ------------------------------------------------------------------------

    def create_tenant(self, request, arena, body):
        self.call("tenant_create", self.db, c_name(body.get("name")))
        return {}

    def get_tenant(self, request, arena, body):
        self.call("tenant_check", self.db, c_name(request["tenant"]))
        return {"name": request["tenant"]}

    def create_database(self, request, arena, body):
        self.call("database_create", self.db, c_name(request["tenant"]), c_name(body.get("name")))
        return {}

    def get_database(self, request, arena, body):
        self.call("database_check", self.db, c_name(request["tenant"]),
                  c_name(request["database"]))
        return {"name": request["database"], "tenant": request["tenant"]}

    def list_databases(self, request, arena, body):
        seen = []

        def visit(_, name):
            seen.append({"name": text_of(name), "tenant": request["tenant"]})
            return True
        self.call("database_list", self.db, c_name(request["tenant"]), VISIT_NAME(visit), None)
        offset, limit = request.get("offset") or 0, request.get("limit")
        return seen[offset:] if limit is None else seen[offset:offset + limit]

    def delete_database(self, request, arena, body):
        self.call("database_delete", self.db, c_name(request["tenant"]),
                  c_name(request["database"]))
        return {}

    def create_collection(self, request, arena, body):
        options = CollectionOptions(size=sizeof(CollectionOptions))
        options.tenant, options.database = c_name(request["tenant"]), c_name(request["database"])
        sayable(isinstance(body.get("get_or_create", False), bool))
        options.get_or_create = body.get("get_or_create", False)
        sayable(body.get("metadata") != {})
        options.metadata = arena.metadata(body.get("metadata"))
        if body.get("configuration") is not None:
            options.configuration = arena.bytes(json.dumps(body["configuration"]))
        if body.get("schema") is not None:
            options.schema = arena.bytes(json.dumps(body["schema"]))
        handle = c_void_p()
        self.call("collection_create", self.db, c_name(body.get("name")), byref(options),
                  byref(handle))
        shown = self.described(handle)
        self.keep(handle, shown["id"])
        return shown

    def get_collection(self, request, arena, body):
        handle = c_void_p()
        self.call("collection_open", self.db, c_name(request["tenant"]),
                  c_name(request["database"]), c_name(request["collection"]), byref(handle))
        shown = self.described(handle)
        self.keep(handle, shown["id"])
        return shown

    def get_collection_by_id(self, request, arena, body):
        return self.described(self.by_id(request))

    def list_collections(self, request, arena, body):
        return self.listed(request, request.get("limit"), request.get("offset") or 0)

    def count_collections(self, request, arena, body):
        return len(self.listed(request))

    def modify_collection(self, request, arena, body):
        name = body.get("new_name")
        metadata = arena.metadata(body.get("new_metadata"))
        configuration = body.get("new_configuration")
        self.call("collection_update", self.by_id(request),
                  None if name is None else c_name(name),
                  None if body.get("new_metadata") is None else byref(metadata),
                  arena.bytes(None if configuration is None else json.dumps(configuration)))
        return {}

    def fork(self, request, arena, body):
        handle = c_void_p()
        self.call("collection_fork", self.by_id(request), c_name(body.get("new_name")),
                  byref(handle))
        shown = self.described(handle)
        self.keep(handle, shown["id"])
        return shown

    def fork_count(self, request, arena, body):
        n = c_uint64()
        self.call("collection_fork_count", self.by_id(request), byref(n))
        return {"count": n.value}

    @staticmethod
    def shown_pin(name, pin):
        return {"name": name, "position": pin.position, "created_unix_s": pin.created_unix_s,
                "bytes": pin.n_bytes}

    def pin(self, request, arena, body):
        pin = Pin(size=sizeof(Pin))
        self.call("pin_create", self.by_id(request), c_name(body["name"]), byref(pin))
        assert pin.text.decode() == text_of(pin.name)
        return self.shown_pin(pin.text.decode(), pin)

    def unpin(self, request, arena, body):
        self.call("pin_delete", self.by_id(request), c_name(request["pin"]))
        return {}

    def pins(self, request, arena, body):
        out = []

        def visit(_, at):
            out.append(self.shown_pin(text_of(at.contents.name), at.contents))
            return True

        self.call("pin_list", self.by_id(request), VISIT_PIN(visit), None)
        return out

    def delete_collection(self, request, arena, body):
        self.call("collection_delete", self.db, c_name(request["tenant"]),
                  c_name(request["database"]), c_name(request["collection"]))
        return {}

    def reset(self, request, arena, body):
        self.call("reset", self.db)
        return True

    def seal(self, request, arena, body):
        self.call("seal", self.db)
        return {}

    def compact(self, request, arena, body):
        self.call("compact", self.db)
        return {}

    def count(self, request, arena, body):
        n, position = c_uint64(), c_uint64()
        handle = self.by_id(request)
        if request.get("as_of") is None:
            self.call("count", handle, byref(n))
            plain = n.value
        self.call("count_as_of", handle, self.as_of(request), byref(n), byref(position))
        assert request.get("as_of") is not None or plain == n.value
        self.position = position.value
        return n.value

    @staticmethod
    def as_of(body):
        position = whole(body.get("as_of"))
        return None if position is None else ctypes.pointer(c_uint64(position))

    def write(self, request, arena, body):
        records = arena.records(request["op"], body)
        handle = self.by_id(request)
        self.call(request["op"], handle, byref(records))
        self.position = self.library.ochre_collection_written(handle)
        return {}

    add = update = upsert = write

    def delete(self, request, arena, body):
        selection = arena.selection(body)
        limit = whole(body.get("limit"))
        n = c_uint64()
        handle = self.by_id(request)
        self.call("delete", handle, byref(selection), NO_LIMIT if limit is None else limit,
                  byref(n))
        self.position = self.library.ochre_collection_written(handle)
        return {"deleted": n.value}

    @staticmethod
    def included(body, default):
        include = body.get("include", default)
        sayable(isinstance(include, list))
        sayable(all(isinstance(word, str) and word in INCLUDE for word in include))
        return include, sum(INCLUDE[word] for word in set(include))

    def columns(self, result, which, include):
        """The hits of one list, column by column."""
        n = c_size_t()
        hits = self.library.ochre_result_hits(result, which, byref(n))
        hits = [hits[i] for i in range(n.value)]
        dim = self.library.ochre_result_dim(result)
        makers = {"documents": lambda h: text_of(h.document), "uris": lambda h: text_of(h.uri),
                  "metadatas": lambda h: metadata_of(h.metadata),
                  "embeddings": lambda h: [float(x) for x in h.embedding[:dim]],
                  "distances": lambda h: float(h.distance)}
        out = {c: [make(h) for h in hits] if c in include else None for c, make in makers.items()}
        out["ids"] = [text_of(h.id) for h in hits]
        return out

    def get(self, request, arena, body):
        include, flags = self.included(body, ["documents", "metadatas"])
        limit = whole(body.get("limit"))
        get = Get(arena.selection(body), whole(body.get("offset")) or 0,
                  NO_LIMIT if limit is None else limit, flags, self.as_of(body))
        cursor = body.get("cursor")
        if cursor is not None:
            get.pages, get.cursor = True, arena.bytes(cursor)
        result = c_void_p()
        self.call("get", self.by_id(request), byref(get), byref(result))
        assert self.library.ochre_result_lists(result) == 1
        out = self.columns(result, 0, include)
        self.position = self.library.ochre_result_position(result)
        if cursor is not None:
            out["cursor"] = text_of(self.library.ochre_result_cursor(result))
        self.library.ochre_result_close(result)
        del out["distances"]
        return {**out, "include": include}

    def query(self, request, arena, body):
        include, flags = self.included(body, ["documents", "metadatas", "distances"])
        queries = body.get("query_embeddings")
        sayable(isinstance(queries, list) and all(isinstance(q, list) for q in queries))
        dims = {len(q) for q in queries} or {0}
        sayable(len(dims) == 1)
        k = whole(body.get("n_results"))
        dim, = dims
        exact, explain = body.get("exact"), body.get("explain")
        recall, effort = body.get("recall_target"), whole(body.get("effort"))
        sayable(exact is None or isinstance(exact, bool))
        sayable(explain is None or isinstance(explain, bool))
        sayable(recall is None or isinstance(recall, (int, float)) and recall != 0)
        sayable(effort != 0)
        query = Query(sizeof(Query), arena.selection(body),
                      arena.floats(x for q in queries for x in q), len(queries), dim,
                      10 if k is None else k, flags, bool(exact), bool(explain), recall or 0,
                      effort or 0, self.as_of(body))
        result = c_void_p()
        self.call("query", self.by_id(request), byref(query), byref(result))
        n = self.library.ochre_result_lists(result)
        assert n == len(queries)
        self.position = self.library.ochre_result_position(result)
        lists = [self.columns(result, i, include) for i in range(n)]
        explains = [self.explanation(result, i) for i in range(n)]
        self.library.ochre_result_close(result)
        out = {c: [one[c] for one in lists] if c == "ids" or c in include else None
               for c in ("ids", *INCLUDE)}
        if explain:
            out["explain"] = explains
        else:
            assert explains == [None] * n
        return {**out, "include": include}

    def explanation(self, result, i):
        at = self.library.ochre_result_explain(result, i)
        if not at:
            return None
        explain = at.contents
        sources = [{name: getattr(explain.sources[s], name) for name, _ in ExplainSource._fields_}
                   for s in range(explain.n_sources)]
        for source in sources:
            source.update(kind=KINDS[source["kind"]], plan=PLANS[source["plan"]])
        return {"plan": PLANS[explain.plan], "recall_target": round(explain.recall_target, 6),
                "sources": sources}

    def answer(self, request):
        body = request.get("body")
        self.position = None
        try:
            sayable(body is None or isinstance(body, dict))
            shown = getattr(self, request["op"])(request, Arena(), body or {})
        except Unsayable:
            return {"status": None}
        except Refused as refused:
            return {"status": refused.status,
                    "body": {"error": NAMES.get(refused.status, "ChromaError"),
                             "message": str(refused)}}
        return {"status": 201 if request["op"] == "add" else 200, "body": shown,
                "position": self.position}


def main():
    library, directory = sys.argv[1:]
    database = Database(library, directory)
    for line in sys.stdin.buffer:
        sys.stdout.write(json.dumps(database.answer(json.loads(line))) + "\n")
        sys.stdout.flush()
    database.close()


if __name__ == "__main__":
    main()
