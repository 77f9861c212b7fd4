"""The official Python client (PyPI chromadb, HTTP mode), every method we serve.

    OCHRE=build/release/ochre python -m unittest discover -s tests/clients/python

Each test class has a server of its own; each test a database of its own.
"""
import os
import pathlib
import sys
import tempfile
import time
import unittest
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
import server  # noqa: E402

import chromadb  # noqa: E402
import chromadb.errors as errors  # noqa: E402
import numpy  # noqa: E402
from chromadb.config import Settings  # noqa: E402
from chromadb.utils.embedding_functions import register_embedding_function  # noqa: E402



def quiet():
    """New each time: a client keeps its address in the settings that it is given."""
    return Settings(anonymized_telemetry=False)


@register_embedding_function
class Lengths(chromadb.EmbeddingFunction):
    """Text as (letters, words, vowels): small, and the same on every machine."""

    def __init__(self, scale: float = 1.0):
        self.scale = scale

    def __call__(self, input):
        return [numpy.array([self.scale * x for x in (len(t), len(t.split()),
                                                      sum(c in "aeiou" for c in t))],
                            dtype=numpy.float32) for t in input]

    @staticmethod
    def name():
        return "ochre_test_lengths"

    def get_config(self):
        return {"scale": self.scale}

    @staticmethod
    def build_from_config(config):
        return Lengths(config["scale"])

    def default_space(self):
        return "l2"

    def supported_spaces(self):
        return ["l2", "cosine", "ip"]


class ServerTest(unittest.TestCase):
    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="ochre-clients-")
        cls.server = server.Server(os.environ.get("OCHRE", "build/release/ochre"),
                                   os.path.join(cls.directory.name, "data"), cls.arguments)
        cls.server.start()
        cls.admin = chromadb.AdminClient(Settings(
            chroma_api_impl="chromadb.api.fastapi.FastAPI", chroma_server_host="127.0.0.1",
            chroma_server_http_port=cls.server.port, anonymized_telemetry=False))

    @classmethod
    def tearDownClass(cls):
        status = cls.server.stop()
        cls.directory.cleanup()
        assert status in (0, None), f"the server ended with status {status}"

    def client(self, **where):
        return chromadb.HttpClient(host="127.0.0.1", port=self.server.port, settings=quiet(), **where)

    def setUp(self):
        self.database = "db-" + uuid.uuid4().hex[:12]
        self.admin.create_database(self.database)
        self.db = self.client(database=self.database)

    def filled(self, name="things", **how):
        c = self.db.create_collection(name, embedding_function=None, **how)
        c.add(ids=["a", "b", "c", "d", "e"],
              embeddings=[[1, 0], [0, 1], [1, 1], [-1, 0], [0.25, 0.5]],
              documents=["apple pie", "banana split", "Apple tart", "50% off_now", "cherry"],
              metadatas=[{"n": 1, "s": "x"}, {"n": 2, "s": "y"}, {"n": 2.5, "tags": ["p", "q"]},
                         {"b": True}, {"n": -7}],
              uris=["u:a", "u:b", "u:c", "u:d", "u:e"])
        return c


class ClientMethods(ServerTest):
    def test_heartbeat_is_the_time_in_nanoseconds(self):
        self.assertLess(abs(self.db.heartbeat() - time.time_ns()), 30 * 10 ** 9)

    def test_version_is_three_numbers(self):
        self.assertRegex(self.db.get_version(), r"^\d+\.\d+\.\d+$")

    def test_max_batch_size_is_positive(self):
        self.assertGreater(self.db.get_max_batch_size(), 0)

    def test_the_user_is_known(self):
        identity = self.db.get_user_identity()
        self.assertEqual(identity.tenant, "default_tenant")
        self.assertIn("default_database", identity.databases)

    def test_settings_are_the_client_s_own(self):
        self.assertEqual(self.db.get_settings().chroma_server_http_port, self.server.port)

    def test_a_collection_is_created_got_and_deleted(self):
        c = self.db.create_collection("first", metadata={"a": 1, "f": 1.5, "s": "x", "b": True},
                                      embedding_function=None)
        self.assertEqual(c.name, "first")
        self.assertEqual(c.metadata, {"a": 1, "f": 1.5, "s": "x", "b": True})
        self.assertEqual((c.tenant, c.database), ("default_tenant", self.database))
        again = self.db.get_collection("first", embedding_function=None)
        self.assertEqual((again.id, again.metadata), (c.id, c.metadata))
        self.assertEqual(self.db.get_collection_by_id(c.id, embedding_function=None).name, "first")
        with self.assertRaises(errors.ChromaError):
            self.db.create_collection("first", embedding_function=None)
        same = self.db.get_or_create_collection("first", metadata={"other": 1},
                                                embedding_function=None)
        self.assertEqual((same.id, same.metadata), (c.id, c.metadata))
        self.assertNotEqual(
            self.db.get_or_create_collection("second", embedding_function=None).id, c.id)
        self.db.delete_collection("first")
        with self.assertRaises(errors.NotFoundError):
            self.db.get_collection("first", embedding_function=None)
        with self.assertRaises(errors.NotFoundError):
            self.db.delete_collection("first")

    def test_collections_are_listed_and_counted(self):
        for name in ("one", "two", "three"):
            self.db.create_collection(name, embedding_function=None)
        self.assertEqual(self.db.count_collections(), 3)
        listed = [c.name for c in self.db.list_collections()]
        self.assertEqual(sorted(listed), ["one", "three", "two"])
        self.assertEqual([c.name for c in self.db.list_collections(limit=2, offset=1)],
                         listed[1:])
        self.assertEqual(self.db.list_collections(limit=5, offset=3), [])

    def test_bad_names_are_refused(self):
        for name in ("ab", "-abc", "a..b", "1.2.3.4", "a b"):
            with self.assertRaises(errors.ChromaError, msg=name):
                self.db.create_collection(name, embedding_function=None)

    def test_the_database_and_the_tenant_can_be_changed(self):
        self.db.create_collection("here", embedding_function=None)
        client = self.client()
        client.set_database(self.database)
        self.assertEqual([c.name for c in client.list_collections()], ["here"])
        tenant = "tenant-" + uuid.uuid4().hex
        self.admin.create_tenant(tenant)
        self.admin.create_database("there", tenant)
        client.set_tenant(tenant, "there")
        self.assertEqual(client.list_collections(), [])
        with self.assertRaises(Exception):
            client.set_database("missing-database")
        with self.assertRaises(Exception):
            client.set_tenant("missing-tenant")

    def test_configuration_is_kept_and_changed(self):
        c = self.db.create_collection("tuned", embedding_function=None, configuration={
            "hnsw": {"space": "cosine", "ef_construction": 200, "max_neighbors": 8}})
        hnsw = c.configuration_json["hnsw"]
        self.assertEqual((hnsw["space"], hnsw["ef_construction"], hnsw["max_neighbors"]),
                         ("cosine", 200, 8))
        c.modify(configuration={"hnsw": {"ef_search": 33}})
        again = self.db.get_collection("tuned", embedding_function=None)
        self.assertEqual(again.configuration["hnsw"]["ef_search"], 33)
        self.assertEqual(again.configuration["hnsw"]["space"], "cosine")

    def test_a_recall_target_passes_through(self):
        """Top-level members of a configuration are dropped by the client; hnsw's are not."""
        c = self.db.create_collection("aiming", embedding_function=None, configuration={
            "hnsw": {"space": "ip", "recall_target": 0.9}})
        self.assertEqual(c.configuration_json["recall_target"], 0.9)
        self.assertEqual(c.configuration["hnsw"]["space"], "ip")
        c.modify(configuration={"hnsw": {"recall_target": 1.0}})
        again = self.db.get_collection("aiming", embedding_function=None)
        self.assertEqual(again.configuration_json["recall_target"], 1.0)
        self.assertEqual(again.schema.keys["#embedding"].float_list.vector_index.config.space,
                         "ip")
        c = self.db.create_collection("aiming-too", embedding_function=None,
                                      metadata={"ochre:recall_target": 0.5, "k": 1})
        self.assertEqual(c.configuration_json["recall_target"], 0.5)
        self.assertEqual(c.metadata, {"ochre:recall_target": 0.5, "k": 1})
        c.add(ids=["a"], embeddings=[[1, 0]])
        self.assertEqual(c.query(query_embeddings=[[1, 0]])["ids"], [["a"]])
        with self.assertRaisesRegex(errors.InvalidArgumentError, "recall_target is 2"):
            c.modify(configuration={"hnsw": {"recall_target": 2}})

    def test_legacy_metadata_names_the_metric(self):
        c = self.db.create_collection("legacy", embedding_function=None,
                                      metadata={"hnsw:space": "ip", "hnsw:M": 24})
        self.assertEqual(c.configuration_json["hnsw"]["space"], "ip")
        self.assertEqual(c.configuration_json["hnsw"]["max_neighbors"], 24)

    def test_an_embedding_function_is_stored_and_found_again(self):
        c = self.db.create_collection("embedded", embedding_function=Lengths(2.0))
        c.add(ids=["a", "b"], documents=["one two three", "x"])
        again = self.client(database=self.database).get_collection("embedded")
        found = again.query(query_texts=["two one three"], n_results=1)
        self.assertEqual(found["ids"], [["a"]])
        self.assertAlmostEqual(found["distances"][0][0], 0.0, places=5)
        again.update(ids=["b"], documents=["one two threes"])
        self.assertEqual(again.query(query_texts=["x"], n_results=2)["ids"], [["a", "b"]])

    def test_schema_switches_an_index_off(self):
        from chromadb.api.types import Schema, StringInvertedIndexConfig
        schema = Schema()
        schema.delete_index(config=StringInvertedIndexConfig(), key="secret")
        c = self.db.create_collection("schemed", schema=schema, embedding_function=None)
        c.add(ids=["a"], embeddings=[[1.0]], metadatas=[{"secret": "x", "open": "y"}])
        self.assertEqual(c.get(where={"open": "y"})["ids"], ["a"])
        with self.assertRaisesRegex(Exception, "Cannot filter using metadata key 'secret'"):
            c.get(where={"secret": "x"})
        kept = self.db.get_collection("schemed", embedding_function=None).schema
        self.assertFalse(kept.keys["secret"].string.string_inverted_index.enabled)
        self.assertTrue(kept.keys["open"].string.string_inverted_index.enabled)


class CollectionMethods(ServerTest):
    def test_count_and_peek(self):
        c = self.filled()
        self.assertEqual(c.count(), 5)
        peeked = c.peek(2)
        self.assertEqual(peeked["ids"], ["a", "b"])
        numpy.testing.assert_allclose(peeked["embeddings"], [[1, 0], [0, 1]])

    def test_get_by_id_filter_and_page(self):
        c = self.filled()
        self.assertEqual(c.get()["ids"], ["a", "b", "c", "d", "e"])
        self.assertEqual(c.get(ids=["c", "a", "zz"])["ids"], ["a", "c"])
        self.assertEqual(c.get(ids="b")["documents"], ["banana split"])
        self.assertEqual(c.get(limit=2, offset=1)["ids"], ["b", "c"])
        self.assertEqual(c.get(limit=3, offset=10)["ids"], [])
        got = c.get(ids=["c"], include=["embeddings", "documents", "metadatas", "uris"])
        numpy.testing.assert_allclose(got["embeddings"], [[1, 1]])
        self.assertEqual(got["documents"], ["Apple tart"])
        self.assertEqual(got["metadatas"], [{"n": 2.5, "tags": ["p", "q"]}])
        self.assertEqual(got["uris"], ["u:c"])
        self.assertIsNone(c.get(include=["documents"])["metadatas"])

    def test_where(self):
        c = self.filled()
        for where, ids in [
                ({"n": 1}, ["a"]), ({"n": {"$ne": 1}}, ["b", "c", "d", "e"]),
                ({"n": {"$gt": 1}}, ["b", "c"]), ({"n": {"$gte": 2.5}}, ["c"]),
                ({"n": {"$lt": 0}}, ["e"]), ({"n": {"$lte": 1}}, ["a", "e"]),
                ({"n": {"$in": [1, 2]}}, ["a", "b"]), ({"s": {"$nin": ["x"]}}, list("bcde")),
                ({"b": True}, ["d"]), ({"tags": {"$contains": "p"}}, ["c"]),
                ({"tags": {"$not_contains": "p"}}, list("abde")),
                ({"$and": [{"n": {"$gt": 0}}, {"s": "y"}]}, ["b"]),
                ({"$or": [{"n": 1}, {"b": True}]}, ["a", "d"])]:
            self.assertEqual(c.get(where=where)["ids"], ids, where)

    def test_where_document(self):
        c = self.filled()
        for where, ids in [
                ({"$contains": "pp"}, ["a", "c"]), ({"$contains": "Apple"}, ["c"]),
                ({"$not_contains": "a"}, ["d", "e"]), ({"$regex": "^[ab]"}, ["a", "b"]),
                ({"$regex": "(?i)^apple"}, ["a", "c"]), ({"$not_regex": "[a-z] [a-z]"}, ["d", "e"]),
                ({"$contains": "% off_"}, ["d"]),
                ({"$and": [{"$contains": "p"}, {"$contains": "t"}]}, ["b", "c"]),
                ({"$or": [{"$contains": "pie"}, {"$contains": "cherry"}]}, ["a", "e"])]:
            self.assertEqual(c.get(where_document=where)["ids"], ids, where)
        self.assertEqual(c.get(where={"n": {"$gt": 1}}, where_document={"$contains": "t"})["ids"],
                         ["b", "c"])

    def test_query(self):
        wanted = {"l2": (["a", "e", "c", "b", "d"], [0.0, 0.8125, 1.0, 2.0, 4.0]),
                  "cosine": (["a", "c", "e", "b", "d"], [0.0, 0.29289323, 0.5527864, 1.0, 2.0]),
                  "ip": (["a", "c", "e", "b", "d"], [0.0, 0.0, 0.75, 1.0, 2.0])}
        for space, (ids, distances) in wanted.items():
            c = self.filled("query-" + space, configuration={"hnsw": {"space": space}})
            found = c.query(query_embeddings=[[1, 0]])
            self.assertEqual(sorted(found["ids"][0]), sorted(ids))
            self.assertEqual(found["ids"][0][2:], ids[2:])
            numpy.testing.assert_allclose(found["distances"][0], distances, atol=1e-5)
            self.assertEqual(found["documents"][0][3], "banana split")

    def test_query_with_many_vectors_filters_and_ids(self):
        c = self.filled()
        found = c.query(query_embeddings=[[1, 0], [0, 1]], n_results=2, include=["embeddings"])
        self.assertEqual(found["ids"], [["a", "e"], ["b", "e"]])
        self.assertIsNone(found["distances"])
        numpy.testing.assert_allclose(found["embeddings"][1][0], [0, 1])
        self.assertEqual(c.query(query_embeddings=[1, 0], where={"n": {"$gt": 1}})["ids"],
                         [["c", "b"]])
        self.assertEqual(c.query(query_embeddings=[1, 0], n_results=1,
                                 where_document={"$contains": "cherry"})["ids"], [["e"]])
        self.assertEqual(c.query(query_embeddings=[1, 0], ids=["d", "b"])["ids"], [["b", "d"]])
        with self.assertRaisesRegex(Exception, "Error finding id"):
            c.query(query_embeddings=[1, 0], ids=["missing"])
        with self.assertRaisesRegex(Exception, "dimension"):
            c.query(query_embeddings=[1, 0, 0])

    def test_update_changes_what_is_given(self):
        c = self.filled()
        c.update(ids=["a", "missing"], embeddings=[[5, 5], [6, 6]],
                 metadatas=[{"n": None, "new": "v"}, {"n": 1}])
        got = c.get(ids=["a", "missing"], include=["embeddings", "documents", "metadatas", "uris"])
        self.assertEqual(got["ids"], ["a"])
        numpy.testing.assert_allclose(got["embeddings"], [[5, 5]])
        self.assertEqual(got["documents"], ["apple pie"])
        self.assertEqual(got["metadatas"], [{"s": "x", "new": "v"}])
        c.update(ids="b", documents="new text", uris="u:new", embeddings=[[0, 2]])
        got = c.get(ids="b", include=["documents", "metadatas", "uris"])
        self.assertEqual((got["documents"], got["metadatas"], got["uris"]),
                         (["new text"], [{"n": 2, "s": "y"}], ["u:new"]))

    def test_upsert_changes_or_adds(self):
        c = self.filled()
        c.upsert(ids=["a", "f"], embeddings=[[2, 2], [3, 3]], documents=["A", "F"],
                 metadatas=[{"n": 9}, {"n": 10}])
        self.assertEqual(c.count(), 6)
        got = c.get(ids=["a", "f"])
        self.assertEqual(got["documents"], ["A", "F"])
        self.assertEqual(got["metadatas"], [{"n": 9, "s": "x"}, {"n": 10}])
        self.assertEqual(c.get()["ids"][-1], "f")

    def test_add_of_a_known_id_changes_nothing(self):
        c = self.filled()
        c.add(ids=["a", "f"], embeddings=[[9, 9], [8, 8]])
        self.assertEqual(c.count(), 6)
        numpy.testing.assert_allclose(c.get(ids="a", include=["embeddings"])["embeddings"],
                                      [[1, 0]])

    def test_delete_by_id_and_filter(self):
        c = self.filled()
        c.delete(ids=["a", "missing"])
        self.assertEqual(c.get()["ids"], ["b", "c", "d", "e"])
        c.delete(where={"n": {"$gt": 2}})
        self.assertEqual(c.get()["ids"], ["b", "d", "e"])
        c.delete(where_document={"$contains": "%"})
        self.assertEqual(c.get()["ids"], ["b", "e"])
        deleted = c.delete(where={"n": {"$lt": 100}}, limit=1)
        self.assertEqual(deleted["deleted"], 1)
        self.assertEqual(c.get()["ids"], ["e"])

    def test_numpy_and_many_records(self):
        c = self.db.create_collection("numpy", embedding_function=None)
        rng = numpy.random.default_rng(7)
        vectors = rng.standard_normal((3000, 96)).astype(numpy.float32)
        ids = [f"r{i}" for i in range(len(vectors))]
        c.add(ids=ids, embeddings=vectors, metadatas=[{"i": i} for i in range(len(ids))])
        self.assertEqual(c.count(), 3000)
        got = c.get(include=["embeddings"])
        numpy.testing.assert_array_equal(got["embeddings"].astype(numpy.float32), vectors)
        found = c.query(query_embeddings=vectors[:20], n_results=1)
        self.assertEqual([hits[0] for hits in found["ids"]], ids[:20])

    def test_modify_renames_and_replaces_metadata(self):
        c = self.filled("before", metadata={"a": 1})
        c.modify(name="after", metadata={"b": 2})
        self.assertEqual((c.name, c.metadata), ("after", {"b": 2}))
        self.assertEqual(self.db.get_collection("after", embedding_function=None).metadata,
                         {"b": 2})
        with self.assertRaises(errors.NotFoundError):
            self.db.get_collection("before", embedding_function=None)
        self.db.create_collection("taken", embedding_function=None)
        with self.assertRaises(Exception):
            c.modify(name="taken")

    def test_a_deleted_collection_answers_not_found(self):
        c = self.filled()
        self.db.delete_collection(c.name)
        calls = [lambda: c.add(ids=["x"], embeddings=[[1, 2]]), lambda: c.get(),
                 lambda: c.query(query_embeddings=[[1, 2]]), lambda: c.count(),
                 lambda: c.update(ids=["a"], embeddings=[[1, 2]]), lambda: c.peek(),
                 lambda: c.upsert(ids=["a"], embeddings=[[1, 2]]), lambda: c.delete(ids=["a"]),
                 lambda: c.modify(name="other")]
        for call in calls:
            with self.assertRaisesRegex(errors.NotFoundError, "Collection .* does not exist"):
                call()

    def test_dimensions_must_agree(self):
        c = self.filled()
        for call in (c.add, c.upsert):
            with self.assertRaisesRegex(errors.InvalidArgumentError, "dimension"):
                call(ids=["x"], embeddings=[[1, 2, 3]])
        with self.assertRaisesRegex(errors.InvalidArgumentError, "dimension"):
            c.update(ids=["a"], embeddings=[[1, 2, 3]])

    def test_a_fork_is_apart_from_its_source(self):
        c = self.filled()
        n = c.count()
        fork = c.fork("copy")
        self.assertEqual(fork.name, "copy")
        self.assertEqual(fork.get()["ids"], c.get()["ids"])
        fork.delete(ids=["a"])
        c.add(ids=["later"], embeddings=[[5.0, 5.0]])
        self.assertEqual((c.count(), fork.count()), (n + 1, n - 1))
        self.assertEqual(self.db.get_collection("copy").id, fork.id)

    def test_what_does_not_exist_yet_is_refused(self):
        c = self.filled()
        from chromadb import Knn, Search
        with self.assertRaises(Exception):
            c.search(Search().rank(Knn(query=[1.0, 0.0])).limit(2))


class AdminMethods(ServerTest):
    def test_tenants(self):
        name = "tenant-" + uuid.uuid4().hex
        self.admin.create_tenant(name)
        self.assertEqual(self.admin.get_tenant(name)["name"], name)
        with self.assertRaises(errors.ChromaError):
            self.admin.create_tenant(name)
        with self.assertRaises(errors.NotFoundError):
            self.admin.get_tenant("no-" + name)

    def test_databases(self):
        tenant = "tenant-" + uuid.uuid4().hex
        self.admin.create_tenant(tenant)
        for name in ("beta", "alpha", "gamma"):
            self.admin.create_database(name, tenant)
        self.assertEqual([d["name"] for d in self.admin.list_databases(tenant=tenant)],
                         ["alpha", "beta", "gamma"])
        self.assertEqual([d["name"] for d in self.admin.list_databases(1, 1, tenant)], ["beta"])
        database = self.admin.get_database("beta", tenant)
        self.assertEqual((database["name"], database["tenant"]), ("beta", tenant))
        with self.assertRaises(errors.ChromaError):
            self.admin.create_database("beta", tenant)
        self.client(tenant=tenant, database="beta").create_collection("c1x", embedding_function=None)
        self.admin.delete_database("beta", tenant)
        with self.assertRaises(errors.NotFoundError):
            self.admin.get_database("beta", tenant)
        self.admin.create_database("beta", tenant)
        self.assertEqual(self.client(tenant=tenant, database="beta").count_collections(), 0)


class Reset(ServerTest):
    arguments = ("--allow-reset",)

    def test_reset_leaves_the_defaults_only(self):
        self.filled()
        self.assertTrue(self.client().reset())
        client = self.client()
        self.assertEqual(client.list_collections(), [])
        with self.assertRaises(errors.NotFoundError):
            self.admin.get_database(self.database)
        client.create_collection("again", embedding_function=None)


class ResetIsOff(ServerTest):
    def test_reset_is_refused_by_default(self):
        c = self.filled()
        with self.assertRaises(Exception):
            self.client().reset()
        self.assertEqual(c.count(), 5)


class AsyncClient(unittest.IsolatedAsyncioTestCase):
    async def test_the_asynchronous_client(self):
        with tempfile.TemporaryDirectory(prefix="ochre-clients-") as directory:
            with server.Server(os.environ.get("OCHRE", "build/release/ochre"),
                               os.path.join(directory, "data")) as ochre:
                client = await chromadb.AsyncHttpClient(host="127.0.0.1", port=ochre.port,
                                                        settings=quiet())
                c = await client.create_collection("things", embedding_function=None)
                await c.add(ids=["a", "b"], embeddings=[[1, 0], [0, 1]], documents=["x", "y"])
                await c.upsert(ids=["b"], embeddings=[[0, 2]])
                await c.update(ids=["a"], embeddings=[[1, 0]], documents=["z"])
                self.assertEqual(await c.count(), 2)
                self.assertEqual((await c.get())["documents"], ["z", "y"])
                found = await c.query(query_embeddings=[[0, 1.5]], n_results=1)
                self.assertEqual(found["ids"], [["b"]])
                await c.delete(ids=["a"])
                self.assertEqual((await c.peek())["ids"], ["b"])
                await c.modify(name="renamed")
                self.assertEqual([x.name for x in await client.list_collections()], ["renamed"])
                await client.delete_collection("renamed")
                self.assertEqual(await client.count_collections(), 0)


if __name__ == "__main__":
    unittest.main()
