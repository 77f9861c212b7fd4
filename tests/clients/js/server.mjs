// A server under test, as tests/support/server.py has it: started on a free
// port in a directory of its own, stopped or killed, its log at hand.
import { spawn } from "node:child_process";
import { mkdtempSync, openSync, closeSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const COMMAND = "{binary} run --path {path} --port {port}";

async function freePort() {
  const listener = createServer();
  await new Promise((ready) => listener.listen(0, "127.0.0.1", ready));
  const { port } = listener.address();
  await new Promise((closed) => listener.close(closed));
  return port;
}

export class Server {
  constructor(args = [], { directory, binary } = {}) {
    this.args = args;
    this.binary = binary ?? process.env.OCHRE ?? "build/release/ochre";
    this.directory = directory ?? mkdtempSync(join(tmpdir(), "ochre-js-"));
    this.owned = directory === undefined;
    this.process = null;
  }

  async start() {
    this.port ??= await freePort();
    const words = { binary: this.binary, path: join(this.directory, "data"), port: this.port };
    const command = (process.env.OCHRE_TEST_COMMAND ?? COMMAND).split(/\s+/)
      .map((word) => word.replace(/\{(\w+)\}/g, (_, name) => words[name]));
    const log = openSync(join(this.directory, "log"), "a");
    this.process = spawn(command[0], [...command.slice(1), ...this.args],
      { stdio: ["ignore", log, log], detached: true });
    closeSync(log);
    this.ended = new Promise((resolve) => {
      this.process.on("error", (error) => resolve({ error }));
      this.process.on("exit", (code, signal) => resolve({ code, signal }));
    });
    let over = null;
    this.ended.then((how) => { over = how; });
    for (const deadline = Date.now() + 60_000; Date.now() < deadline;) {
      if (over) throw new Error(`the server ended (${JSON.stringify(over)}):\n${this.log()}`);
      try {
        if ((await fetch(`http://127.0.0.1:${this.port}/api/v2/heartbeat`)).ok) return this;
      } catch {
        await new Promise((later) => setTimeout(later, 10));
      }
    }
    throw new Error(`the server did not answer in time:\n${this.log()}`);
  }

  log() {
    return readFileSync(join(this.directory, "log"), "utf8").slice(-4000);
  }

  async signal(name) {
    if (!this.process) return null;
    try {
      process.kill(-this.process.pid, name);
    } catch { /* it ended by itself */ }
    const how = await this.ended;
    this.process = null;
    return how;
  }

  async stop() {
    const how = await this.signal("SIGTERM");
    if (this.owned) rmSync(this.directory, { recursive: true, force: true });
    return how;
  }

  kill() {
    return this.signal("SIGKILL");
  }
}
