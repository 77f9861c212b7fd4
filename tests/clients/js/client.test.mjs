// The official JavaScript client (npm chromadb), every method that we serve.
//
//     OCHRE=build/release/ochre node --test
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import {
  AdminClient, ChromaClient, ChromaClientError, ChromaNotFoundError, ChromaUniqueError, K, Knn,
  Schema, Search, StringInvertedIndexConfig, registerEmbeddingFunction,
} from "chromadb";
import { Server } from "./server.mjs";

// Text as (letters, words, vowels): small, and the same on every machine.
class Lengths {
  constructor(scale = 1) {
    this.scale = scale;
    this.name = "ochre_test_lengths";
  }
  async generate(texts) {
    return texts.map((t) => [t.length, t.split(/\s+/).length, (t.match(/[aeiou]/g) ?? []).length]
      .map((x) => x * this.scale));
  }
  getConfig() { return { scale: this.scale }; }
  static buildFromConfig(config) { return new Lengths(config.scale); }
  defaultSpace() { return "l2"; }
  supportedSpaces() { return ["l2", "cosine", "ip"]; }
}
registerEmbeddingFunction("ochre_test_lengths", Lengths);

const NONE = { embeddingFunction: null };
let server, admin, client, database, number = 0;

const connect = (where = {}) => new ChromaClient({ host: "127.0.0.1", port: server.port, ...where });

async function newServer(args) {
  server = await new Server(args).start();
  admin = new AdminClient({ host: "127.0.0.1", port: server.port });
}

async function stopServer() {
  const how = await server.stop();
  assert.ok(how.code === 0 || process.env.OCHRE_TEST_COMMAND, JSON.stringify(how));
}

async function newDatabase() {
  database = `db-${process.pid}-${++number}`;
  await admin.createDatabase({ name: database, tenant: "default_tenant" });
  client = connect({ tenant: "default_tenant", database });
}

async function filled(name = "things", how = {}) {
  const c = await client.createCollection({ name, ...NONE, ...how });
  await c.add({
    ids: ["a", "b", "c", "d", "e"],
    embeddings: [[1, 0], [0, 1], [1, 1], [-1, 0], [0.25, 0.5]],
    documents: ["apple pie", "banana split", "Apple tart", "50% off_now", "cherry"],
    metadatas: [{ n: 1, s: "x" }, { n: 2, s: "y" }, { n: 2.5, tags: ["p", "q"] }, { b: true },
      { n: -7 }],
    uris: ["u:a", "u:b", "u:c", "u:d", "u:e"],
  });
  return c;
}

const close = (got, want) => got.forEach((x, i) =>
  assert.ok(Math.abs(x - want[i]) < 1e-5, `${got} instead of ${want}`));

describe("ChromaClient", () => {
  before(() => newServer([]));
  after(stopServer);
  beforeEach(newDatabase);

  it("asks for the time, the version, the limits and the user", async () => {
    assert.ok(Math.abs(await client.heartbeat() / 1e6 - Date.now()) < 30_000);
    assert.match(await client.version(), /^\d+\.\d+\.\d+$/);
    assert.ok(await client.getMaxBatchSize() > 0);
    assert.equal(await client.supportsBase64Encoding(), true);
    assert.ok((await client.getPreflightChecks()).max_batch_size > 0);
    const user = await client.getUserIdentity();
    assert.equal(user.tenant, "default_tenant");
    assert.deepEqual(user.databases, ["default_database"]);
  });

  it("finds its tenant and database when none is named", async () => {
    const bare = connect();
    assert.ok(Array.isArray(await bare.listCollections()));
    assert.equal(bare.tenant, "default_tenant");
    assert.equal(bare.database, "default_database");
  });

  it("creates, finds and deletes collections", async () => {
    const c = await client.createCollection({ name: "first", metadata: { a: 1, s: "x" }, ...NONE });
    assert.deepEqual(c.metadata, { a: 1, s: "x" });
    assert.equal((await client.getCollection({ name: "first" })).id, c.id);
    assert.equal((await client.getCollectionById(c.id)).name, "first");
    await assert.rejects(client.createCollection({ name: "first", ...NONE }), ChromaUniqueError);
    const same = await client.getOrCreateCollection({ name: "first", metadata: { other: 1 },
      ...NONE });
    assert.equal(same.id, c.id);
    assert.deepEqual(same.metadata, { a: 1, s: "x" });
    await client.getOrCreateCollection({ name: "second", ...NONE });
    assert.deepEqual((await client.getCollections(["first", "second"])).map((x) => x.name),
      ["first", "second"]);
    await client.deleteCollection({ name: "first" });
    await assert.rejects(client.getCollection({ name: "first" }), ChromaNotFoundError);
    await assert.rejects(client.deleteCollection({ name: "first" }), ChromaNotFoundError);
    await assert.rejects(client.getCollectionById("6d1f2c38-0b7a-4e55-9c3d-8a1e4f7b2c90"),
      ChromaNotFoundError);
  });

  it("lists and counts collections", async () => {
    for (const name of ["one", "two", "three"]) await client.createCollection({ name, ...NONE });
    assert.equal(await client.countCollections(), 3);
    const names = (await client.listCollections()).map((c) => c.name);
    assert.deepEqual([...names].sort(), ["one", "three", "two"]);
    assert.deepEqual((await client.listCollections({ limit: 2, offset: 1 })).map((c) => c.name),
      names.slice(1));
  });

  it("refuses bad names", async () => {
    for (const name of ["ab", "-abc", "a..b", "1.2.3.4", "a b"])
      await assert.rejects(client.createCollection({ name, ...NONE }), ChromaClientError);
  });

  it("keeps and changes a configuration", async () => {
    const c = await client.createCollection({
      name: "tuned", ...NONE, configuration: { hnsw: { space: "cosine", ef_construction: 200 } },
    });
    assert.equal(c.configuration.hnsw.space, "cosine");
    await c.modify({ configuration: { hnsw: { ef_search: 33 } } });
    const again = await client.getCollection({ name: "tuned" });
    assert.equal(again.configuration.hnsw.ef_search, 33);
    assert.equal(again.configuration.hnsw.ef_construction, 200);
  });

  it("passes a recall target through", async () => {
    const c = await client.createCollection({
      name: "aiming", ...NONE, configuration: { hnsw: { space: "ip", recall_target: 0.5 } },
    });
    await c.add({ ids: ["a"], embeddings: [[1, 0]] });
    await c.modify({ configuration: { hnsw: { recall_target: 1.0 } } });
    const again = await client.getCollection({ name: "aiming" });
    assert.equal(again.configuration.hnsw.space, "ip");
    assert.deepEqual((await again.query({ queryEmbeddings: [[1, 0]] })).ids, [["a"]]);
    await assert.rejects(c.modify({ configuration: { hnsw: { recall_target: 2 } } }),
      /recall_target is 2/);
    const metadata = { "ochre:recall_target": 0.5 };
    const other = await client.createCollection({ name: "aiming-too", ...NONE, metadata });
    assert.deepEqual(other.metadata, metadata);
  });

  it("finds a stored embedding function again", async () => {
    const c = await client.createCollection({ name: "embedded", embeddingFunction: new Lengths(2) });
    await c.add({ ids: ["a", "b"], documents: ["one two three", "x"] });
    const again = await connect({ tenant: "default_tenant", database })
      .getCollection({ name: "embedded" });
    const found = await again.query({ queryTexts: ["two one three"], nResults: 1 });
    assert.deepEqual(found.ids, [["a"]]);
  });

  it("stores a schema that switches an index off", async () => {
    const schema = new Schema();
    schema.deleteIndex(new StringInvertedIndexConfig(), "secret");
    const c = await client.createCollection({ name: "schemed", schema, ...NONE });
    await c.add({ ids: ["a"], embeddings: [[1]], metadatas: [{ secret: "x", open: "y" }] });
    assert.deepEqual((await c.get({ where: { open: "y" } })).ids, ["a"]);
    await assert.rejects(c.get({ where: { secret: "x" } }),
      /Cannot filter using metadata key 'secret'/);
  });
});

describe("Collection", () => {
  before(() => newServer([]));
  after(stopServer);
  beforeEach(newDatabase);

  it("counts and peeks", async () => {
    const c = await filled();
    assert.equal(await c.count(), 5);
    const peeked = await c.peek({ limit: 2 });
    assert.deepEqual(peeked.ids, ["a", "b"]);
    assert.deepEqual(peeked.documents, ["apple pie", "banana split"]);
  });

  it("gets by id, filter and page", async () => {
    const c = await filled();
    assert.deepEqual((await c.get()).ids, ["a", "b", "c", "d", "e"]);
    assert.deepEqual((await c.get({ ids: ["c", "a", "zz"] })).ids, ["a", "c"]);
    assert.deepEqual((await c.get({ limit: 2, offset: 1 })).ids, ["b", "c"]);
    const got = await c.get({ ids: ["c"],
      include: ["embeddings", "documents", "metadatas", "uris"] });
    assert.deepEqual(got.embeddings, [[1, 1]]);
    assert.deepEqual(got.documents, ["Apple tart"]);
    assert.deepEqual(got.metadatas, [{ n: 2.5, tags: ["p", "q"] }]);
    assert.deepEqual(got.uris, ["u:c"]);
  });

  const wheres = [
    [{ n: 1 }, "a"], [{ n: { $ne: 1 } }, "bcde"], [{ n: { $gt: 1 } }, "bc"],
    [{ n: { $gte: 2.5 } }, "c"], [{ n: { $lt: 0 } }, "e"], [{ n: { $in: [1, 2] } }, "ab"],
    [{ s: { $nin: ["x"] } }, "bcde"], [{ b: true }, "d"], [{ tags: { $contains: "p" } }, "c"],
    [{ $and: [{ n: { $gt: 0 } }, { s: "y" }] }, "b"], [{ $or: [{ n: 1 }, { b: true }] }, "ad"]];
  it("filters by metadata", async () => {
    const c = await filled();
    for (const [where, ids] of wheres)
      assert.deepEqual((await c.get({ where })).ids, [...ids], JSON.stringify(where));
    const built = await c.get({ where: K("n").gt(1).and(K("tags").contains("p")) }).catch(() => null);
    if (built) assert.deepEqual(built.ids, ["c"]);
  });

  it("filters by document", async () => {
    const c = await filled();
    for (const [whereDocument, ids] of [
      [{ $contains: "pp" }, "ac"], [{ $not_contains: "a" }, "de"], [{ $regex: "^[ab]" }, "ab"],
      [{ $regex: "(?i)^apple" }, "ac"], [{ $not_regex: "[a-z] [a-z]" }, "de"],
      [{ $or: [{ $contains: "pie" }, { $contains: "cherry" }] }, "ae"]])
      assert.deepEqual((await c.get({ whereDocument })).ids, [...ids],
        JSON.stringify(whereDocument));
  });

  it("queries in every metric", async () => {
    for (const [space, distances] of [["l2", [0, 0.8125, 1, 2, 4]],
      ["cosine", [0, 0.29289323, 0.5527864, 1, 2]], ["ip", [0, 0, 0.75, 1, 2]]]) {
      const c = await filled(`query-${space}`, { configuration: { hnsw: { space } } });
      const found = await c.query({ queryEmbeddings: [[1, 0]] });
      close(found.distances[0], distances);
      assert.equal(found.documents[0][4], "50% off_now");
    }
  });

  it("queries with many vectors, filters and ids", async () => {
    const c = await filled();
    const found = await c.query({ queryEmbeddings: [[1, 0], [0, 1]], nResults: 2,
      include: ["embeddings"] });
    assert.deepEqual(found.ids, [["a", "e"], ["b", "e"]]);
    assert.deepEqual(found.embeddings[1][0], [0, 1]);
    const one = async (how) => (await c.query({ queryEmbeddings: [[1, 0]], ...how })).ids[0];
    assert.deepEqual(await one({ where: { n: { $gt: 1 } } }), ["c", "b"]);
    assert.deepEqual(await one({ whereDocument: { $contains: "cherry" } }), ["e"]);
    assert.deepEqual(await one({ ids: ["d", "b"] }), ["b", "d"]);
    await assert.rejects(one({ ids: ["missing"] }), /Error finding id/);
    await assert.rejects(c.query({ queryEmbeddings: [[1, 0, 0]] }), /dimension/);
    assert.equal(found.rows().length, 2);
  });

  it("updates what is given", async () => {
    const c = await filled();
    await c.update({ ids: ["a", "missing"], embeddings: [[5, 5], [6, 6]],
      metadatas: [{ n: 7, added: "v" }, { n: 1 }] });
    const got = await c.get({ ids: ["a", "missing"], include: ["embeddings", "documents",
      "metadatas"] });
    assert.deepEqual(got.ids, ["a"]);
    assert.deepEqual(got.embeddings, [[5, 5]]);
    assert.deepEqual(got.documents, ["apple pie"]);
    assert.deepEqual(got.metadatas, [{ n: 7, s: "x", added: "v" }]);
  });

  it("upserts, and ignores an add of a known id", async () => {
    const c = await filled();
    await c.upsert({ ids: ["a", "f"], embeddings: [[2, 2], [3, 3]], documents: ["A", "F"] });
    await c.add({ ids: ["b", "g"], embeddings: [[9, 9], [8, 8]], documents: ["B", "G"] });
    const got = await c.get();
    assert.deepEqual(got.ids, ["a", "b", "c", "d", "e", "f", "g"]);
    assert.deepEqual([got.documents[0], got.documents[1]], ["A", "banana split"]);
  });

  it("deletes by id and by filter", async () => {
    const c = await filled();
    await c.delete({ ids: ["a", "missing"] });
    await c.delete({ where: { n: { $gt: 2 } } });
    await c.delete({ whereDocument: { $contains: "%" } });
    assert.deepEqual((await c.get()).ids, ["b", "e"]);
    assert.equal((await c.delete({ where: { n: { $lt: 100 } }, limit: 1 })).deleted, 1);
    assert.deepEqual((await c.get()).ids, ["e"]);
  });

  it("renames and replaces metadata", async () => {
    const c = await filled("before", { metadata: { a: 1 } });
    await c.modify({ name: "after", metadata: { b: 2 } });
    assert.deepEqual((await client.getCollection({ name: "after" })).metadata, { b: 2 });
    await assert.rejects(client.getCollection({ name: "before" }), ChromaNotFoundError);
    await client.createCollection({ name: "taken", ...NONE });
    await assert.rejects(c.modify({ name: "taken" }));
  });

  it("is not found once deleted", async () => {
    const c = await filled();
    await client.deleteCollection({ name: c.name });
    for (const call of [() => c.get(), () => c.count(), () => c.peek({}),
      () => c.query({ queryEmbeddings: [[1, 2]] }), () => c.add({ ids: ["x"], embeddings: [[1, 2]] }),
      () => c.update({ ids: ["a"], embeddings: [[1, 2]] }), () => c.delete({ ids: ["a"] }),
      () => c.upsert({ ids: ["a"], embeddings: [[1, 2]] }), () => c.modify({ name: "other" })])
      await assert.rejects(call, ChromaNotFoundError);
  });

  it("is reached by its id alone", async () => {
    const c = await filled();
    await client.listCollections();
    assert.equal(await client.collection(c.id).count(), 5);
  });

  it("takes many records", async () => {
    const c = await client.createCollection({ name: "many", ...NONE });
    const ids = Array.from({ length: 3000 }, (_, i) => `r${i}`);
    const embeddings = ids.map((_, i) => Array.from({ length: 96 }, (_, j) => Math.fround(
      Math.sin(i * 97 + j * 13))));
    await c.add({ ids, embeddings, metadatas: ids.map((_, i) => ({ i })) });
    assert.equal(await c.count(), 3000);
    const found = await c.query({ queryEmbeddings: embeddings.slice(0, 20), nResults: 1 });
    assert.deepEqual(found.ids.map((hits) => hits[0]), ids.slice(0, 20));
  });

  it("forks", async () => {
    const c = await filled();
    const n = await c.count();
    const fork = await c.fork({ name: "copy" });
    await fork.delete({ ids: ["a"] });
    assert.equal(await c.count(), n);
    assert.equal(await fork.count(), n - 1);
  });

  it("refuses what does not exist yet", async () => {
    const c = await filled();
    await assert.rejects(c.search(new Search().rank(Knn({ query: [1, 0] }))));
  });
});

describe("AdminClient", () => {
  before(() => newServer([]));
  after(stopServer);

  it("creates and finds tenants", async () => {
    await admin.createTenant({ name: "some tenant" });
    assert.ok(JSON.stringify(await admin.getTenant({ name: "some tenant" })).includes("some tenant"));
    await assert.rejects(admin.createTenant({ name: "some tenant" }), ChromaUniqueError);
    await assert.rejects(admin.getTenant({ name: "unknown" }), ChromaNotFoundError);
  });

  it("creates, lists and deletes databases, of tenants that nobody created too", async () => {
    const tenant = "nobody-made-me";
    for (const name of ["beta", "alpha", "gamma"]) await admin.createDatabase({ name, tenant });
    const names = async (how) => (await admin.listDatabases({ tenant, ...how })).map((d) => d.name);
    assert.deepEqual(await names(), ["alpha", "beta", "gamma"]);
    assert.deepEqual(await names({ limit: 1, offset: 1 }), ["beta"]);
    assert.equal((await admin.getDatabase({ name: "beta", tenant })).tenant, tenant);
    await assert.rejects(admin.createDatabase({ name: "beta", tenant }), ChromaUniqueError);
    await admin.deleteDatabase({ name: "beta", tenant });
    await assert.rejects(admin.getDatabase({ name: "beta", tenant }), ChromaNotFoundError);
  });
});

describe("reset", () => {
  it("is refused unless it is allowed", async () => {
    await newServer([]);
    await newDatabase();
    const c = await filled();
    await assert.rejects(client.reset());
    assert.equal(await c.count(), 5);
    await stopServer();
  });

  it("leaves the defaults only", async () => {
    await newServer(["--allow-reset"]);
    await newDatabase();
    await filled();
    await client.reset();
    await assert.rejects(admin.getDatabase({ name: database, tenant: "default_tenant" }));
    assert.deepEqual(await connect().listCollections(), []);
    await stopServer();
  });
});
