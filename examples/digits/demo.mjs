// Ten thousand handwritten digits: load them, look for neighbours, kill the
// server in the middle of a second load, and see what is left.
//
//     node demo.mjs BINARY DIRECTORY-OF-THE-IDX-FILES
import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { ChromaClient } from "chromadb";
import { pictures, caption, beside } from "./picture.mjs";

const [binary, images] = process.argv.slice(2);
const BATCH = 250, HELD_OUT = 100, SHOWN = 4;
const directory = mkdtempSync(join(tmpdir(), "ochre-demo-"));
const say = (text = "") => process.stdout.write(text + "\n");
const thousands = (n) => n.toLocaleString("en-US");

// The idx format: a header that names the shape, then one byte a value.
function idx(name) {
  const bytes = gunzipSync(readFileSync(join(images, name)));
  const header = 4 + 4 * bytes[3];
  return { count: bytes.readUInt32BE(4), data: bytes.subarray(header) };
}

// The server -----------------------------------------------------------------

let server, ended, port;

async function freePort() {
  const listener = createServer();
  await new Promise((ready) => listener.listen(0, "127.0.0.1", ready));
  const free = listener.address().port;
  await new Promise((closed) => listener.close(closed));
  return free;
}

async function start() {
  const words = { binary, path: join(directory, "data"), port };
  const command = (process.env.OCHRE_TEST_COMMAND ?? "{binary} run --path {path} --port {port}")
    .split(/\s+/).map((word) => word.replace(/\{(\w+)\}/g, (_, name) => words[name]));
  const log = openSync(join(directory, "log"), "a");
  const started = performance.now();
  server = spawn(command[0], command.slice(1), { stdio: ["ignore", log, log], detached: true });
  closeSync(log);
  let over = false;
  ended = new Promise((resolve) => {
    server.on("error", resolve);
    server.on("exit", resolve);
  }).then(() => { over = true; });
  while (!over) {
    try {
      if ((await fetch(`http://127.0.0.1:${port}/api/v2/heartbeat`)).ok)
        return performance.now() - started;
    } catch {
      await new Promise((later) => setTimeout(later, 5));
    }
  }
  throw new Error("the server did not start:\n" + readFileSync(join(directory, "log"), "utf8"));
}

async function signal(name) {
  try {
    process.kill(-server.pid, name);
  } catch { /* it is gone */ }
  await ended;
}

// Loading --------------------------------------------------------------------

function progress(done, all, since) {
  const width = 40, full = Math.round((width * done) / all);
  const seconds = (performance.now() - since) / 1000;
  const line = `  [${"#".repeat(full)}${".".repeat(width - full)}] ${thousands(done)} of ` +
    `${thousands(all)}, ${thousands(Math.round(done / seconds))} records/s`;
  if (process.stdout.isTTY) process.stdout.write("\r" + line + (done === all ? "\n" : ""));
  else if (done === all || (done / BATCH) % 10 === 0) say(line);
}

class Digits {
  constructor() {
    const pixels = idx("t10k-images-idx3-ubyte.gz"), labels = idx("t10k-labels-idx1-ubyte.gz");
    this.count = pixels.count;
    this.labels = labels.data;
    this.pixels = Array.from({ length: this.count }, (_, i) =>
      pixels.data.subarray(784 * i, 784 * (i + 1)));
  }
  vector(i) {
    return Array.from(this.pixels[i], (p) => Math.fround(p / 255));
  }
  batch(first, end, prefix) {
    const rows = Array.from({ length: end - first }, (_, i) => first + i);
    return { ids: rows.map((i) => prefix + i), embeddings: rows.map((i) => this.vector(i)),
      metadatas: rows.map((i) => ({ label: this.labels[i], index: i })) };
  }
}

async function load(collection, digits, end) {
  const since = performance.now();
  for (let first = 0; first < end; first += BATCH) {
    await collection.add(digits.batch(first, Math.min(first + BATCH, end), "digit-"));
    progress(Math.min(first + BATCH, end), end, since);
  }
}

// Rows whose batch was acknowledged before the server was killed.
async function loadUntilKilled(collection, digits, batches) {
  const acknowledged = [];
  let killed = null;
  try {
    for (let first = 0; first < digits.count; first += BATCH) {
      const end = Math.min(first + BATCH, digits.count);
      await collection.add(digits.batch(first, end, "again-"));
      for (let i = first; i < end; i++) acknowledged.push(i);
      if (acknowledged.length / BATCH === batches)
        setTimeout(() => { killed = signal("SIGKILL"); }, 3);
    }
  } catch { /* the connection broke: the batch in flight was not acknowledged */ }
  killed ??= signal("SIGKILL");
  await killed;
  return acknowledged;
}

async function verify(collection, digits, rows, prefix) {
  let identical = 0;
  for (let first = 0; first < rows.length; first += BATCH) {
    const part = rows.slice(first, first + BATCH);
    const got = await collection.get({ ids: part.map((i) => prefix + i),
      include: ["embeddings", "metadatas"] });
    const place = new Map(got.ids.map((id, n) => [id, n]));
    for (const i of part) {
      const n = place.get(prefix + i);
      if (n !== undefined && got.metadatas[n].index === i
        && got.metadatas[n].label === digits.labels[i]
        && digits.vector(i).every((x, j) => x === Math.fround(got.embeddings[n][j]))) identical++;
    }
  }
  return identical;
}

// The demo -------------------------------------------------------------------

async function neighbours(collection, digits, stored) {
  const queries = Array.from({ length: HELD_OUT }, (_, i) => stored + i);
  const since = performance.now();
  const found = await collection.query({ queryEmbeddings: queries.map((i) => digits.vector(i)),
    nResults: SHOWN, include: ["metadatas", "distances"] });
  const each = (performance.now() - since) / HELD_OUT;
  const right = queries.filter((i, q) => found.metadatas[q][0].label === digits.labels[i]).length;

  const chosen = [...new Map(queries.map((i, q) => [digits.labels[i], q])).values()].slice(0, 4);
  for (const q of chosen) {
    const columns = [[pictures(digits.pixels[queries[q]]),
      caption(`held out: ${digits.labels[queries[q]]}`)]];
    for (let n = 0; n < SHOWN; n++) {
      const { label, index } = found.metadatas[q][n];
      columns.push([pictures(digits.pixels[index]),
        caption(`${label}  at ${found.distances[q][n].toFixed(2)}`)]);
    }
    say();
    for (const line of beside(columns)) say("  " + line);
  }
  say();
  say(`  ${right} of ${HELD_OUT} held-out digits have a nearest neighbour with their own label; ` +
    `${each.toFixed(2)} ms a query, the client included`);
}

async function main() {
  port = await freePort();
  const digits = new Digits(), stored = digits.count - HELD_OUT;
  await start();
  say(`server on 127.0.0.1:${port}, data in ${directory}`);
  const connect = () => new ChromaClient({ host: "127.0.0.1", port });
  let collection = await connect().createCollection({ name: "digits", embeddingFunction: null });

  say(`\n1. Load ${thousands(stored)} digits of 784 pixels, ${BATCH} a batch; hold back ${HELD_OUT}`);
  await load(collection, digits, stored);

  say("\n2. The neighbours of some that were held back");
  await neighbours(collection, digits, stored);

  say("\n3. Load all again under other ids, and SIGKILL the server on the way");
  const acknowledged = await loadUntilKilled(collection, digits, 12);
  say(`  killed; ${thousands(acknowledged.length)} records had been acknowledged`);

  const ms = await start();
  say(`  started again; the first answer came after ${Math.round(ms)} ms`);
  collection = await connect().getCollection({ name: "digits" });
  const first = await verify(collection, digits, Array.from({ length: stored }, (_, i) => i),
    "digit-");
  const second = await verify(collection, digits, acknowledged, "again-");
  const count = await collection.count();
  say(`  first load:  ${thousands(first)} of ${thousands(stored)} acknowledged records are there, ` +
    "bit for bit");
  say(`  second load: ${thousands(second)} of ${thousands(acknowledged.length)} acknowledged ` +
    `records are there, bit for bit; ${thousands(count - stored - second)} more were in flight`);
  const whole = (count - stored) % BATCH === 0;
  if (!whole) say("  half a batch is there: that must not be");
  await signal("SIGTERM");
  return first === stored && second === acknowledged.length && whole ? 0 : 1;
}

let status = 1;
try {
  status = await main();
  say(status === 0 ? "\nNothing was lost." : "\nSomething was lost.");
} catch (error) {
  say(`demo: ${error.stack ?? error}`);
  if (server) await signal("SIGKILL");
}
rmSync(directory, { recursive: true, force: true });
process.exit(status);
