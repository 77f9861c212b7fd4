"""Ten thousand handwritten digits through the official Python client.

They are loaded in batches and asked for their neighbours; then the server is
killed in the middle of a second load, and every acknowledged record must be
there when it is back.
"""
import gzip
import os
import pathlib
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import server  # noqa: E402

import chromadb  # noqa: E402
import numpy  # noqa: E402
from chromadb.config import Settings  # noqa: E402

BATCH = 500
HELD_OUT = 50


def idx(name):
    """A file in idx format: a header that names the shape, then bytes."""
    with gzip.open(ROOT / "examples" / "digits" / name) as f:
        data = f.read()
    shape = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "big") for i in range(data[3])]
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * len(shape)).reshape(shape)


class Digits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        images = idx("t10k-images-idx3-ubyte.gz")
        cls.vectors = images.reshape(len(images), -1).astype(numpy.float32) / 255
        cls.labels = idx("t10k-labels-idx1-ubyte.gz")

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="ochre-digits-")
        self.server = server.Server(os.environ.get("OCHRE", "build/release/ochre"),
                                    os.path.join(self.directory.name, "data"))
        self.server.start()
        self.addCleanup(self.directory.cleanup)
        self.addCleanup(self.server.stop)

    def client(self):
        return chromadb.HttpClient(host="127.0.0.1", port=self.server.port,
                                   settings=Settings(anonymized_telemetry=False))

    def batch(self, collection, first, prefix, method="add"):
        rows = range(first, min(first + BATCH, len(self.vectors)))
        getattr(collection, method)(
            ids=[f"{prefix}{i}" for i in rows], embeddings=self.vectors[list(rows)],
            metadatas=[{"label": int(self.labels[i]), "index": i} for i in rows])
        return list(rows)

    def test_neighbours_are_exact_and_survive_a_kill(self):
        collection = self.client().create_collection("digits", embedding_function=None)
        stored = len(self.vectors) - HELD_OUT
        for first in range(0, len(self.vectors), BATCH):
            self.batch(collection, first, "d")
        collection.delete(ids=[f"d{i}" for i in range(stored, len(self.vectors))])
        self.assertEqual(collection.count(), stored)
        self.neighbours(collection, stored)

        acknowledged = self.load_until_killed(collection)
        self.server.start()
        collection = self.client().get_collection("digits", embedding_function=None)
        self.assertGreaterEqual(collection.count(), stored + len(acknowledged))
        for first in range(0, len(acknowledged), 1000):
            rows = acknowledged[first:first + 1000]
            got = collection.get(ids=[f"again{i}" for i in rows],
                                 include=["embeddings", "metadatas"])
            self.assertEqual(got["ids"], [f"again{i}" for i in rows])
            numpy.testing.assert_array_equal(
                numpy.asarray(got["embeddings"], numpy.float32), self.vectors[rows])
            self.assertEqual([m["index"] for m in got["metadatas"]], rows)
        self.neighbours(collection, stored, where={"index": {"$gte": 0}}, prefix="d")

    def neighbours(self, collection, stored, where=None, prefix="d"):
        """Ten neighbours of each held-out digit are those of an exhaustive search."""
        queries = self.vectors[stored:]
        found = collection.query(query_embeddings=queries, n_results=10, where=where,
                                 ids=[f"{prefix}{i}" for i in range(stored)],
                                 include=["distances", "metadatas"])
        squares = (self.vectors[:stored] ** 2).sum(1)
        right = 0
        for n, query in enumerate(queries):
            exact = numpy.sort(squares - 2 * self.vectors[:stored] @ query + query @ query)[:10]
            numpy.testing.assert_allclose(found["distances"][n], exact, rtol=1e-3, atol=1e-2)
            votes = [m["label"] for m in found["metadatas"][n]]
            right += max(set(votes), key=votes.count) == self.labels[stored + n]
        self.assertGreater(right, 0.9 * len(queries))

    def load_until_killed(self, collection):
        """Rows whose batches were acknowledged before the server died."""
        acknowledged = []
        timer = threading.Timer(0.8, self.server.kill)
        try:
            for first in range(0, len(self.vectors), BATCH):
                acknowledged += self.batch(collection, first, "again")
                if first == 2 * BATCH:
                    timer.start()
        except Exception:  # the connection went away: that is the point
            pass
        if not timer.is_alive() and timer.ident is None:
            timer.start()
        timer.join()
        return acknowledged


if __name__ == "__main__":
    unittest.main()
