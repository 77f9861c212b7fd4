"""Exchanges in which we answer otherwise than the reference, on purpose.

Each claim is one transcript, in the form that replay.py reads; its name stands
in docs/compatibility.md.  ANY accepts any value, ERROR any error body.
"""
import struct
import base64

ANY = "<any>"
ERROR = {"error": ANY, "message": ANY}
NOT_FOUND = {"error": "NotFoundError", "message": ANY}
INVALID = {"error": "InvalidArgumentError", "message": ANY}
OTHER = {"error": "ChromaError", "message": ANY}
TENANT = "/api/v2/tenants/default_tenant"


def step(method, path, body, status, response, **more):
    return {"method": method, "path": path, "body": body, "status": status,
            "response": response, **more}


def raw(path, text, status, response, **more):
    return {"method": "POST", "path": path, "body_raw": text, "status": status,
            "response": response, **more}


class Claim:
    """A database of its own, one collection `c` in it, and steps on it."""

    def __init__(self, name, **collection):
        self.name = name
        self.database = f"{TENANT}/databases/{name}-{{run}}"
        self.collections = self.database + "/collections"
        self.c = self.collections + "/{collection_id:c}"
        self.steps = [
            step("POST", TENANT + "/databases", {"name": name + "-{run}"}, 200, {}),
            step("POST", self.collections, {"name": "coll", **collection}, 200,
                 self.collection("c", name="coll"))]

    @staticmethod
    def collection(label, **known):
        """A collection object of which only the id and `known` matter."""
        return {"id": f"{{collection_id:{label}}}", "name": ANY, "configuration_json": ANY,
                "schema": ANY, "metadata": ANY, "dimension": ANY, "tenant": ANY,
                "database": ANY, "log_position": ANY, "version": ANY, **known}

    def then(self, *step_arguments, **more):
        self.steps.append(step(*step_arguments, **more))
        return self

    def add(self, **body):
        return self.then("POST", self.c + "/add", body, 201, {})

    def finds(self, found, /, **body):
        """A get that answers these ids and nothing else."""
        return self.then("POST", self.c + "/get", {"include": [], **body}, 200,
                         {"ids": found, "embeddings": None, "documents": None, "uris": None,
                          "metadatas": None, "include": []})

    def transcript(self):
        return {"group": "ours", "name": self.name, "steps": self.steps}


def plain(name, *steps):
    return {"group": "ours", "name": name, "steps": list(steps)}


def floats_as_base64(*values):
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def errors():
    collections = TENANT + "/databases/default_database/collections"
    yield plain(
        "unknown-routes-and-methods-answer-json",
        step("GET", "/api/v2/nope", None, 404, ERROR, content_type="application/json"),
        step("GET", "/", None, 404, ERROR, content_type="application/json"),
        step("POST", "/api/v2/heartbeat", {}, 405, ERROR, content_type="application/json"),
        step("DELETE", "/api/v2/tenants", None, 405, ERROR, content_type="application/json"))
    yield plain(
        "v1-is-gone-for-every-method",
        *[step(method, path, None, 410, {"error": "Unimplemented", "message": ANY})
          for method, path in [("GET", "/api/v1/heartbeat"), ("POST", "/api/v1/collections"),
                               ("POST", "/api/v1/reset"), ("PUT", "/api/v1/collections/x"),
                               ("DELETE", "/api/v1/collections/x")]])
    yield plain("an-unknown-tenant-cannot-be-changed",
                step("PATCH", "/api/v2/tenants/nobody-{run}", {"resource_name": "r"}, 404,
                     NOT_FOUND))
    yield plain("positional-arrays-are-no-objects",
                raw("/api/v2/tenants", '["positional-{run}"]', 422, OTHER),
                step("GET", "/api/v2/tenants/positional-{run}", None, 404, NOT_FOUND),
                raw(collections, '["positional"]', 422, OTHER))
    claim = Claim("a-body-too-large-answers-json")
    claim.steps.append({"method": "POST", "path": claim.c + "/add", "status": 413,
                        "body_gen": {"template": '{"ids":["a"],"embeddings":[[1,2]],'
                                                 '"documents":["@"]}',
                                     "pad_to_bytes": 41943041},
                        "response": OTHER, "content_type": "application/json"})
    yield claim.transcript()
    for path, body in [("/search", {"searches": []}),
                       ("/functions/attach", {"name": "f", "function_id": "x",
                                              "output_collection": "o"})]:
        yield Claim("not-yet-" + path.split("/")[1]).then(
            "POST", Claim("not-yet-" + path.split("/")[1]).c + path, body, 501,
            OTHER).transcript()


def forks():
    claim = Claim("a-fork-is-apart-from-its-source")
    claim.add(ids=["a", "b"], embeddings=[[1.0], [2.0]], documents=["one", "two"])
    claim.then("POST", claim.c + "/fork", {"new_name": "copy"}, 200,
               Claim.collection("f", name="copy", dimension=1))
    fork = claim.collections + "/{collection_id:f}"
    claim.then("POST", fork + "/delete", {"ids": ["a"]}, 200, {"deleted": 1})
    claim.then("POST", claim.c + "/update", {"ids": ["b"], "documents": ["new"]}, 200, {})
    claim.then("GET", claim.c + "/count", None, 200, 2)
    claim.then("GET", fork + "/count", None, 200, 1)
    claim.then("GET", fork + "/fork_count", None, 200, {"count": 1})
    claim.then("POST", fork + "/fork", {"new_name": "copy"}, 409, OTHER)
    claim.then("POST", fork + "/fork", {"new_name": "!"}, 400, INVALID)
    claim.then("POST", fork + "/fork", {}, 422, OTHER)
    claim.then("POST", fork + "/fork", {"new_name": "again"}, 200,
               Claim.collection("g", name="again", dimension=1))
    claim.then("DELETE", claim.collections + "/coll", None, 200, {})
    claim.then("DELETE", claim.collections + "/copy", None, 200, {})
    again = claim.collections + "/{collection_id:g}"
    claim.then("GET", again + "/count", None, 200, 1)
    claim.then("GET", again + "/fork_count", None, 200, {"count": 1})
    yield claim.transcript()


def catalog():
    claim = Claim("renaming-onto-a-name-in-use-is-a-conflict")
    claim.then("POST", claim.collections, {"name": "other"}, 200,
               Claim.collection("o", name="other"))
    claim.then("PUT", claim.c, {"new_name": "other"}, 409, OTHER)
    claim.then("GET", claim.collections + "/coll", None, 200, Claim.collection("c", name="coll"))
    claim.then("GET", claim.collections + "/other", None, 200,
               Claim.collection("o", name="other"))
    yield claim.transcript()

    claim = Claim("a-collection-answers-only-under-its-own-database")
    elsewhere = (TENANT + "/databases/default_database/collections/{collection_id:c}")
    claim.add(ids=["a"], embeddings=[[1.0]])
    for method, rest, body in [("GET", "/count", None), ("POST", "/get", {}),
                               ("POST", "/query", {"query_embeddings": [[1.0]]}),
                               ("POST", "/add", {"ids": ["b"], "embeddings": [[1.0]]}),
                               ("POST", "/upsert", {"ids": ["b"], "embeddings": [[1.0]]}),
                               ("POST", "/update", {"ids": ["a"]}),
                               ("POST", "/delete", {"ids": ["a"]}),
                               ("PUT", "", {"new_name": "stolen"})]:
        claim.then(method, elsewhere + rest, body, 404, NOT_FOUND)
    yield claim.finds(["a"]).transcript()

    claim = Claim("collection-metadata-holds-scalars-only")
    for value in ([1, 2], ["a"], {"indices": [1], "values": [0.5]}):
        claim.then("POST", claim.collections, {"name": "refused", "metadata": {"m": value}},
                   400, INVALID)
    claim.then("GET", claim.collections + "/refused", None, 404, NOT_FOUND)
    yield claim.transcript()

    claim = Claim("collections-are-listed-in-the-order-of-creation")
    for name in ("zulu", "alpha", "mike"):
        claim.then("POST", claim.collections, {"name": name}, 200,
                   Claim.collection(name, name=name))
    claim.then("GET", claim.collections, None, 200,
               [Claim.collection("c", name="coll"),
                *[Claim.collection(n, name=n) for n in ("zulu", "alpha", "mike")]])
    claim.then("GET", claim.collections + "?limit=2&offset=1", None, 200,
               [Claim.collection(n, name=n) for n in ("zulu", "alpha")])
    yield claim.transcript()


def recall_targets():
    """A collection's share of the true nearest to aim at, which only we know."""
    hnsw = {"space": "l2", "ef_construction": 100, "ef_search": 100, "max_neighbors": 16,
            "resize_factor": 1.2, "sync_threshold": 1000}
    usual = {"hnsw": hnsw, "spann": None, "embedding_function": None}

    def shows(claim, label, target):
        more = {} if target is None else {"recall_target": target}
        schema = {"defaults": ANY, "keys": ANY, **more}
        return Claim.collection(label, configuration_json={**usual, **more}, schema=schema)

    claim = Claim("a-collection-has-a-recall-target")
    given = [({"configuration": {"recall_target": 0.9}}, 0.9),
             ({"configuration": {"hnsw": {"recall_target": 0.9}}}, 0.9),
             ({"configuration": {"spann": {"recall_target": 0.9}}}, 0.9),
             ({"schema": {"defaults": {}, "keys": {}, "recall_target": 0.9}}, 0.9),
             ({"metadata": {"ochre:recall_target": 0.9}}, 0.9),
             ({"metadata": {"ochre:recall_target": 1}}, 1.0),
             ({"configuration": {"recall_target": 0.99}}, None),
             ({"configuration": {"recall_target": None}}, None)]
    for i, (wish, target) in enumerate(given):
        claim.then("POST", claim.collections, {"name": f"aim{i}", **wish}, 200,
                   shows(claim, f"aim{i}", target))
        claim.then("GET", f"{claim.collections}/aim{i}", None, 200,
                   shows(claim, f"aim{i}", target))
    for change, target in (({"recall_target": 0.5}, 0.5), ({"hnsw": {"recall_target": 1}}, 1.0),
                           ({"hnsw": {}}, 1.0), ({"spann": {"recall_target": 0.99}}, None)):
        claim.then("PUT", claim.c, {"new_configuration": change}, 200, {})
        claim.then("GET", claim.collections + "/coll", None, 200, shows(claim, "c", target))
    query = {"query_embeddings": [[1.0]], "include": [], "explain": True}
    answer = {"ids": [[]], "embeddings": None, "documents": None, "uris": None,
              "metadatas": None, "distances": None, "include": []}
    for target in (0.5, 1.0, 0.99):
        claim.then("PUT", claim.c, {"new_configuration": {"recall_target": target}}, 200, {})
        claim.then("POST", claim.c + "/query", query, 200,
                   {**answer, "explain": [{"plan": "empty", "recall_target": target,
                                           "sources": []}]})
    for wish, status, error in (
            ({"configuration": {"recall_target": 0}}, 400, INVALID),
            ({"configuration": {"recall_target": 1.5}}, 400, INVALID),
            ({"configuration": {"recall_target": "0.9"}}, 422, OTHER),
            ({"configuration": {"recall_target": 0.9, "hnsw": {"recall_target": 0.8}}}, 400,
             INVALID),
            ({"schema": {"defaults": {}, "keys": {}, "recall_target": 2}}, 400, INVALID),
            ({"metadata": {"ochre:recall_target": 0}}, 400, INVALID),
            ({"metadata": {"ochre:recall": 0.9}}, 400, INVALID)):
        claim.then("POST", claim.collections, {"name": "refused", **wish}, status, error)
    claim.then("PUT", claim.c, {"new_configuration": {"recall_target": -1}}, 400, INVALID)
    yield claim.transcript()


def writes():
    claim = Claim("a-refused-add-pins-no-dimension")
    claim.then("POST", claim.c + "/add", {"ids": ["a"], "embeddings": [[1, 2, 3]],
                                          "documents": []}, 400, INVALID)
    claim.then("POST", claim.c + "/add", {"ids": [""], "embeddings": [[1, 2, 3]]}, 400, INVALID)
    claim.then("GET", claim.collections + "/coll", None, 200,
               Claim.collection("c", dimension=None))
    claim.add(ids=["a"], embeddings=[[1, 2]])
    claim.then("GET", claim.collections + "/coll", None, 200, Claim.collection("c", dimension=2))
    yield claim.transcript()

    claim = Claim("reserved-metadata-keys-are-hidden-and-nothing-more")
    claim.add(ids=["a"], embeddings=[[1, 2]],
              metadatas=[{"chroma:document": "not a document", "chroma:uri": "u", "k": 1}])
    claim.then("POST", claim.c + "/get", {"include": ["documents", "uris", "metadatas"]}, 200,
               {"ids": ["a"], "embeddings": None, "documents": [None], "uris": [None],
                "metadatas": [{"k": 1}], "include": ["documents", "uris", "metadatas"]})
    claim.add(ids=["b"], embeddings=[[1, 2]], documents=["a document"])
    claim.finds([], where={"chroma:document": "a document"})
    yield claim.transcript()

    claim = Claim("an-empty-list-in-metadata-is-refused")
    claim.then("POST", claim.c + "/add", {"ids": ["a"], "embeddings": [[1]],
                                          "metadatas": [{"l": [], "k": 1}]}, 400, INVALID)
    yield claim.finds([]).transcript()

    claim = Claim("vectors-come-back-as-they-were-given",
                  configuration={"hnsw": {"space": "cosine"}})
    claim.add(ids=["a", "b"], embeddings=[floats_as_base64(1.0, 1.0), floats_as_base64(3.0, 0.1)])
    claim.then("POST", claim.c + "/get", {"include": ["embeddings"]}, 200,
               {"ids": ["a", "b"], "embeddings": [[1.0, 1.0], [3.0, 0.1]], "documents": None,
                "uris": None, "metadatas": None, "include": ["embeddings"]})
    yield claim.transcript()


def filters():
    claim = Claim("integers-and-floats-compare-as-numbers")
    claim.add(ids=["one", "two", "three", "half"], embeddings=[[1], [2], [3], [4]],
              metadatas=[{"i": 1}, {"i": 2}, {"i": 3}, {"i": 2.5}])
    for where, ids in [
            ({"i": 1.5}, []), ({"i": 2.5}, ["half"]), ({"i": {"$eq": 2.0}}, ["two"]),
            ({"i": {"$ne": 2.7}}, ["one", "two", "three", "half"]),
            ({"i": {"$gte": 2.5}}, ["three", "half"]), ({"i": {"$lt": 2.5}}, ["one", "two"]),
            ({"i": {"$gt": 2}}, ["three", "half"]), ({"i": {"$in": [1.7]}}, []),
            ({"i": {"$in": [1.5, 2]}}, ["two"]),
            ({"i": {"$nin": [1.7]}}, ["one", "two", "three", "half"])]:
        claim.finds(ids, where=where)
    yield claim.transcript()

    claim = Claim("integers-beyond-the-floats-compare-exactly")
    claim.add(ids=["even", "odd"], embeddings=[[1], [2]],
              metadatas=[{"i": 9007199254740992}, {"i": 9007199254740993}])
    claim.finds(["even"], where={"i": 9007199254740992.0})
    claim.finds(["odd"], where={"i": {"$gt": 9007199254740992.0}})
    yield claim.transcript()

    claim = Claim("where-may-ask-for-ids")
    claim.add(ids=["a", "b", "c"], embeddings=[[1], [2], [3]])
    for where, ids in [({"#id": "a"}, ["a"]), ({"#id": {"$in": ["c", "a", "x"]}}, ["a", "c"]),
                       ({"#id": {"$ne": "a"}}, ["b", "c"]),
                       ({"#id": {"$nin": ["a", "b"]}}, ["c"])]:
        claim.finds(ids, where=where)
    yield claim.transcript()

    claim = Claim("a-long-list-of-ids-is-no-error")
    claim.add(ids=["r39999"], embeddings=[[1]])
    claim.finds(["r39999"], ids=[f"r{i}" for i in range(40000)])
    yield claim.transcript()

    claim = Claim("a-word-boundary-is-one-of-ascii")
    claim.add(ids=["ascii", "accent"], embeddings=[[1], [2]],
              documents=["a pie here", "\u00e9t\u00e9"])
    claim.finds(["ascii"], where_document={"$regex": r"\bpie\b"})
    # Unicode would see no boundary between the two letters; RE2 sees one.
    claim.finds(["accent"], where_document={"$regex": "\u00e9\\bt"})
    yield claim.transcript()


def queries():
    claim = Claim("a-query-beyond-the-floats-is-refused")
    claim.add(ids=["a"], embeddings=[[1, 0]])
    claim.steps.append(raw(claim.c + "/query", '{"query_embeddings":[[1e39,0]]}', 400, INVALID))
    yield claim.transcript()

    claim = Claim("cosine-bears-large-and-small-components",
                  configuration={"hnsw": {"space": "cosine"}})
    claim.add(ids=["large", "small", "across"],
              embeddings=[[1e20, 1e20], [1e-30, 1e-30], [1.0, -1.0]])
    claim.then("POST", claim.c + "/query", {"query_embeddings": [[1.0, 1.0]],
                                            "include": ["distances"]}, 200,
               {"ids": [["large", "small", "across"]], "embeddings": None, "documents": None,
                "uris": None, "metadatas": None, "distances": [[0.0, 0.0, 1.0]],
                "include": ["distances"]})
    yield claim.transcript()

    claim = Claim("identical-vectors-hide-nobody")
    n = 300
    claim.add(ids=[f"same{i}" for i in range(n)] + ["other"],
              embeddings=[[1.0, 0.0]] * n + [[0.0, 1.0]])
    claim.then("POST", claim.c + "/query",
               {"query_embeddings": [[1.0, 0.0]], "n_results": n + 1, "include": []}, 200,
               {"ids": [[f"same{i}" for i in range(n)] + ["other"]], "embeddings": None,
                "documents": None, "uris": None, "metadatas": None, "distances": None,
                "include": []})
    claim.then("POST", claim.c + "/query",
               {"query_embeddings": [[1.0, 0.0]], "n_results": 5, "include": []}, 200,
               {"ids": [[f"same{i}" for i in range(5)]], "embeddings": None, "documents": None,
                "uris": None, "metadatas": None, "distances": None, "include": []})
    yield claim.transcript()


    yield from how_hard_to_look()


def how_hard_to_look():
    """Members of a query that only we know."""
    def answer(ids, **more):
        return {"ids": ids, "embeddings": None, "documents": None, "uris": None,
                "metadatas": None, "distances": None, "include": [], **more}

    query = {"query_embeddings": [[1.0, 0.0]], "n_results": 2, "include": []}
    found = answer([["a", "c"]])
    claim = Claim("a-query-may-say-how-hard-to-look")
    claim.add(ids=["a", "b", "c"], embeddings=[[1, 0], [0, 1], [0.5, 0]])
    for more in ({"exact": True}, {"exact": False}, {"exact": None}, {"recall_target": 1},
                 {"recall_target": 0.5}, {"recall_target": None}, {"effort": 1},
                 {"effort": 65536}, {"effort": None}, {"explain": False}, {"explain": None}):
        claim.then("POST", claim.c + "/query", {**query, **more}, 200, found)
    for field, values in (("exact", (1, "true", [])), ("explain", (0, {})),
                          ("recall_target", (0, 1.5, -1, "1", True)),
                          ("effort", (0, 65537, 1.5, "8", -1))):
        for value in values:
            claim.then("POST", claim.c + "/query", {**query, field: value}, 400, INVALID)
    yield claim.transcript()

    claim = Claim("a-query-says-how-it-was-answered")
    claim.add(ids=["a", "b", "c"], embeddings=[[1, 0], [0, 1], [0.5, 0]],
              metadatas=[{"n": 1}, {"n": 2}, {"n": 3}])
    source = {"kind": "head", "plan": "exact_scan", "rows": 3, "matches": 3,
              "estimated_cost_us": ANY, "n_distances": 3, "n_estimates": 0, "n_hops": 0,
              "effort": 0, "elapsed_us": ANY}
    explain = {"plan": "exact_scan", "recall_target": 0.99, "sources": [source]}
    claim.then("POST", claim.c + "/query",
               {**query, "query_embeddings": [[1.0, 0.0], [0.0, 1.0]], "explain": True}, 200,
               answer([["a", "c"], ["b", "c"]], explain=[explain, explain]))
    nothing = {**source, "plan": "empty", "matches": 0, "n_distances": 0}
    claim.then("POST", claim.c + "/query",
               {**query, "where": {"n": 4}, "explain": True, "exact": True}, 200,
               answer([[]], explain=[{"plan": "empty", "recall_target": 1.0,
                                      "sources": [nothing]}]))
    claim.then("POST", claim.c + "/query",
               {**query, "query_embeddings": [], "explain": True}, 200,
               answer([], explain=[]))
    yield claim.transcript()


def past():
    nothing = {"embeddings": None, "documents": None, "uris": None, "metadatas": None,
               "include": []}
    stale = {"error": "StaleReadError", "message": ANY}
    claim = Claim("a-read-may-be-of-the-past")
    claim.add(ids=["a", "b"], embeddings=[[1, 0], [0, 1]])
    claim.then("POST", claim.c + "/delete", {"ids": ["a"]}, 200, {"deleted": 1})
    claim.add(ids=["a"], embeddings=[[3, 0]])
    for position, ids in ((0, []), (1, ["a", "b"]), (2, ["b"]), (3, ["b", "a"]), (None, ["b", "a"])):
        claim.finds(ids, as_of=position)
        claim.then("POST", claim.c + "/query",
                   {"query_embeddings": [[0.0, 1.0]], "include": [], "as_of": position}, 200,
                   {"ids": [sorted(ids, reverse=True)], "distances": None, **nothing})
        shown = "" if position is None else f"?as_of={position}"
        claim.then("GET", claim.c + "/count" + shown, None, 200, len(ids))
        claim.then("POST", claim.c + "/get" + shown, {"include": []}, 200, {"ids": ids, **nothing})
        claim.then("POST", claim.c + "/query" + shown,
                   {"query_embeddings": [[0.0, 1.0]], "include": []}, 200,
                   {"ids": [sorted(ids, reverse=True)], "distances": None, **nothing})
    claim.then("POST", claim.c + "/get?as_of=3", {"include": [], "as_of": 2}, 200,
               {"ids": ["b"], **nothing})
    for body, status, why in (({"as_of": 4}, 412, stale), ({"as_of": 2 ** 64 - 1}, 412, stale),
                              ({"as_of": -1}, 400, INVALID), ({"as_of": 2 ** 64}, 400, INVALID),
                              ({"as_of": "1"}, 400, INVALID), ({"as_of": 1.0}, 400, INVALID)):
        claim.then("POST", claim.c + "/get", body, status, why)
        claim.then("POST", claim.c + "/query", {"query_embeddings": [[0.0, 1.0]], **body}, status,
                   why)
    for text, status, why in (("4", 412, stale), (2 ** 64 - 1, 412, stale), (2 ** 64, 400, INVALID),
                              ("-1", 400, INVALID), ("", 400, INVALID), ("1&as_of=1", 400, INVALID)):
        claim.then("GET", f"{claim.c}/count?as_of={text}", None, status, why)
        claim.then("POST", f"{claim.c}/get?as_of={text}", {}, status, why)
        claim.then("POST", f"{claim.c}/query?as_of={text}", {"query_embeddings": [[0.0, 1.0]]},
                   status, why)
    yield claim.transcript()

    claim = Claim("a-position-may-be-pinned")
    pins = "/ochre/v1" + claim.c.removeprefix("/api/v2") + "/pins"
    pin = {"created_unix_s": ANY, "bytes": ANY}
    exists = {"error": "ChromaError", "message": ANY}
    claim.then("GET", pins, None, 200, [])
    claim.add(ids=["a", "b"], embeddings=[[1, 0], [0, 1]])
    claim.then("POST", pins, {"name": "first"}, 200, {"name": "first", "position": 1, **pin})
    claim.then("POST", claim.c + "/delete", {"ids": ["a"]}, 200, {"deleted": 1})
    claim.then("POST", pins, {}, 200, {"name": ANY, "position": 2, **pin})
    claim.then("POST", pins, {"name": None}, 200, {"name": ANY, "position": 2, **pin})
    claim.then("GET", pins, None, 200, [{"name": "first", "position": 1, **pin},
                                        {"name": ANY, "position": 2, **pin},
                                        {"name": ANY, "position": 2, **pin}])
    claim.then("POST", pins, {"name": "first"}, 409, exists)
    for body, status, why in (({"name": "no good"}, 400, INVALID), ({"name": ""}, 400, INVALID),
                              ({"name": 1}, 422, ANY), ([], 422, ANY)):
        claim.then("POST", pins, body, status, why)
    claim.finds(["a", "b"], as_of=1)
    claim.then("GET", claim.c + "/count?as_of=1", None, 200, 2)
    claim.then("GET", claim.database + "/collections_count", None, 200, 1)
    claim.then("DELETE", pins + "/first", None, 200, {})
    claim.then("DELETE", pins + "/first", None, 404, NOT_FOUND)
    unknown = pins.replace("{collection_id:c}", "00000000-0000-4000-8000-000000000000")
    claim.then("GET", unknown, None, 404, NOT_FOUND)
    claim.then("POST", unknown, {}, 404, NOT_FOUND)
    claim.then("DELETE", unknown + "/first", None, 404, NOT_FOUND)
    yield claim.transcript()

    claim = Claim("a-get-may-go-on-with-a-cursor")
    claim.add(ids=["a", "b", "c"], embeddings=[[1, 0], [0, 1], [2, 2]])
    for body, ids, cursor in (({"cursor": ""}, ["a", "b", "c"], None),
                              ({"cursor": "", "limit": 3}, ["a", "b", "c"], None),
                              ({"cursor": "", "limit": 2}, ["a", "b"], ANY),
                              ({"cursor": "", "limit": 1, "offset": 2}, ["c"], None),
                              ({"cursor": "", "ids": ["b", "c"], "limit": 1}, ["b"], ANY),
                              ({"cursor": "", "as_of": 0, "limit": 1}, [], None)):
        claim.then("POST", claim.c + "/get", {"include": [], **body}, 200,
                   {"ids": ids, "cursor": cursor, **nothing})
    claim.finds(["a"], cursor=None, limit=1)
    for body in ({"cursor": "", "limit": 0}, {"cursor": 1}, {"cursor": []}, {"cursor": "next"},
                 {"cursor": "0" * 64}, {"cursor": "0" * 64, "offset": 1}):
        claim.then("POST", claim.c + "/get", body, 400, INVALID)
    yield claim.transcript()


def indexing():
    claim = Claim("the-indexing-status-says-more")
    status = {"op_indexing_progress": 1.0, "num_unindexed_ops": 0, "num_indexed_ops": 0,
              "total_ops": 0, "unindexed_rows": 0, "segments": 0, "graph_segments": 0,
              "recall_target": 0.99, "measured_recall": None, "effort": None,
              "audited_queries": 0, "audited_recall": None}
    claim.then("GET", claim.c + "/indexing_status", None, 200, status)
    claim.add(ids=["a", "b"], embeddings=[[1, 0], [0, 1]])
    claim.then("POST", claim.c + "/delete", {"ids": ["a"]}, 200, {"deleted": 1})
    claim.then("PUT", claim.c, {"new_configuration": {"recall_target": 1}}, 200, {})
    claim.then("GET", claim.c + "/indexing_status", None, 200,
               {**status, "num_indexed_ops": 2, "total_ops": 2, "recall_target": 1.0})
    claim.then("GET", claim.collections + "/00000000-0000-4000-8000-000000000000/indexing_status",
               None, 404, NOT_FOUND)
    yield claim.transcript()


def browsers():
    """Requests that a page of another site could make a browser send."""
    body = {"name": "cross-{run}"}
    yield plain(
        "a-foreign-page-cannot-write",
        step("POST", "/api/v2/tenants", body, 403, ERROR,
             headers={"Content-Type": None, "Origin": "http://evil.example"}),
        step("POST", "/api/v2/tenants", body, 403, ERROR,
             headers={"Origin": "http://evil.example"}),
        step("POST", "/api/v2/tenants", body, 421, ERROR,
             headers={"Host": "evil.example"}),
        step("GET", "/api/v2/tenants/cross-{run}", None, 404, NOT_FOUND))


def transcripts():
    for part in (errors, catalog, forks, recall_targets, writes, filters, queries, past, indexing,
                 browsers):
        yield from part()
