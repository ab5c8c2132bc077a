/** A real redis-server for one test: on a free port, in a folder of its own, ended with the test. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import type { TestContext } from "node:test";
import { findRedis, NO_REDIS } from "../../scripts/ensure-redis.ts";
import { RedisConnection } from "../../src/runtime/stores/redis-connection.ts";
import type { Reply } from "../../src/runtime/stores/redis-replies.ts";
import { freshFolder, kill, waitUntil } from "../harness/index.ts";

const binary = findRedis();
/** Why tests with Redis cannot run here. */
export const noRedis: string | undefined = binary === undefined ? NO_REDIS : undefined;

export async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const DURABLE = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];

export class RedisServer {
  readonly port: number;
  readonly folder: string;
  readonly #words: readonly string[];
  readonly #password: string | undefined;
  #child: ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();

  private constructor(port: number, folder: string, words: readonly string[]) {
    this.port = port;
    this.folder = folder;
    this.#words = words;
    this.#password = words.includes("--requirepass") ? words[words.indexOf("--requirepass") + 1] : undefined;
  }

  /** `words` are settings as on the command line; without any it is as durable as it can be. */
  static async start(t: TestContext, words: readonly string[] = DURABLE): Promise<RedisServer> {
    const folder = freshFolder(t);
    const server = new RedisServer(await freePort(), folder, words);
    t.after(() => server.kill());
    await server.start();
    return server;
  }

  static async sentinel(t: TestContext, master: RedisServer): Promise<RedisServer> {
    const folder = freshFolder(t);
    const config = path.join(folder, "sentinel.conf");
    const watched = `mymaster`;
    fs.writeFileSync(
      config,
      [
        `sentinel monitor ${watched} 127.0.0.1 ${master.port} 1`,
        `sentinel down-after-milliseconds ${watched} 500`,
        `sentinel failover-timeout ${watched} 3000`,
        "",
      ].join("\n"),
    );
    const server = new RedisServer(await freePort(), folder, [config, "--sentinel"]);
    t.after(() => server.kill());
    await server.start();
    return server;
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  url(rest = ""): string {
    return `redis://127.0.0.1:${this.port}${rest}`;
  }

  async start(): Promise<void> {
    const own = ["--port", String(this.port), "--bind", "127.0.0.1", "--dir", this.folder];
    // A configuration file has to be the first word.
    const [first, ...rest] = this.#words;
    const words = first?.endsWith(".conf") === true ? [first, ...own, ...rest] : [...own, ...this.#words];
    const child = spawn(binary!, words, { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once("close", resolve));
    await waitUntil(async () => {
      if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}: ${said}`);
      return this.answers();
    }, "redis-server answers");
  }

  async answers(): Promise<boolean> {
    if (this.#words.includes("--tls-port")) return this.#accepts();
    try {
      return String(await this.command("PING")) === "PONG";
    } catch {
      return false; // Not yet, or not any more.
    }
  }

  #accepts(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = net.connect(this.port, "127.0.0.1", () => resolve(socket.destroy() !== undefined));
      socket.once("error", () => resolve(false));
    });
  }

  /** One command on a connection of its own. */
  async command(...words: string[]): Promise<Reply> {
    const place = { host: "127.0.0.1", port: this.port, tls: undefined, login: { password: this.#password } };
    const connection = await RedisConnection.connect({ ...place, connectMs: 1000, replyMs: 2000 });
    try {
      return await connection.command(words);
    } finally {
      connection.close();
    }
  }

  /** At once, as `kill -9` does. */
  async kill(): Promise<void> {
    if (this.#child === undefined) return;
    kill(this.#child.pid!);
    await this.#ended;
    this.#child = undefined;
  }
}
