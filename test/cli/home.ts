/** A cluster's folder for one test, and the command run in it. Every node that a test starts ends with the test. */
import { spawn, spawnSync } from "node:child_process";
import type { SpawnSyncOptions, SpawnSyncReturns } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import type { TestContext } from "node:test";
import { nodesHere } from "../../src/runtime/client/nodes-here.ts";

const root = path.resolve(import.meta.dirname, "../..");
const main = path.join(root, "dist/cli/main.js");
let homes = 0;

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that runs; what it has printed grows. */
export interface Running {
  readonly stdout: string;
  readonly stderr: string;
  /** The end of its stdin. */
  end(): void;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<number | null>;
}

export class Home {
  readonly dir: string;
  readonly #env: NodeJS.ProcessEnv;

  /** `first`: before its folder is removed. */
  constructor(t: TestContext, first = (): void => {}) {
    this.dir = path.join(root, ".tmp", `home-${process.pid}-${homes++}`);
    fs.mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    const { MOBULA_ADDRESS: _address, MOBULA_TOKEN: _token, MOBULA_TOKEN_FILE: _file, ...env } = process.env;
    this.#env = { ...env, MOBULA_HOME: this.dir };
    t.after(() => {
      first();
      for (const { pid } of nodesHere(this.dir)) process.kill(pid, "SIGTERM");
      for (const until = Date.now() + 10_000; nodesHere(this.dir).length > 0 && Date.now() < until;) spawnSync("sleep", ["0.05"]);
      for (const { pid } of nodesHere(this.dir)) process.kill(pid, "SIGKILL");
      fs.rmSync(this.dir, { recursive: true, force: true });
    });
  }

  run(words: readonly string[], env: NodeJS.ProcessEnv = {}, cwd?: string): Ran {
    const { status, stdout, stderr } = this.spawnSync(words, { env: { ...this.#env, ...env }, cwd });
    return { code: status, stdout, stderr };
  }

  spawnSync(words: readonly string[], options: SpawnSyncOptions): SpawnSyncReturns<string> {
    return spawnSync(process.execPath, [main, ...words], { env: this.#env, timeout: 60_000, ...options, encoding: "utf8" });
  }

  /** What the command prints as JSON; it must succeed. */
  json<T>(...words: readonly string[]): T {
    const { code, stdout, stderr } = this.run([...words, "--json"]);
    if (code !== 0) throw new Error(`mobula ${words.join(" ")} gave ${code}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** A program of this cluster, to its end. */
  async program(code: string, address: string, env: NodeJS.ProcessEnv = {}): Promise<Ran> {
    const program = this.start(code, address, env);
    program.end();
    const code_ = await program.ended;
    return { code: code_, stdout: program.stdout, stderr: program.stderr };
  }

  /** A program of this cluster, beside the test's own events. */
  start(code: string, address: string, env: NodeJS.ProcessEnv = {}): Running {
    const index = path.join(root, "dist/index.js");
    const text = `import * as ray from ${JSON.stringify(index)};\n${code}`;
    const file = path.join(this.dir, `program-${Math.random().toString(36).slice(2)}.mjs`);
    fs.writeFileSync(file, text);
    return this.#spawn([file], { MOBULA_ADDRESS: address, ...env });
  }

  /** As `run`, beside the test's own events. */
  command(words: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
    return this.#spawn([main, ...words], env);
  }

  #spawn(words: readonly string[], env: NodeJS.ProcessEnv): Running {
    const child = spawn(process.execPath, words, {
      env: { ...this.#env, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
    const running = {
      stdout: "",
      stderr: "",
      end: () => void child.stdin.end(),
      kill: (signal: NodeJS.Signals) => void child.kill(signal),
      ended: new Promise<number | null>((resolve) => child.on("close", resolve)).finally(() => clearTimeout(timer)),
    };
    child.stdin.on("error", () => {});
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (running.stdout += chunk));
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (running.stderr += chunk));
    return running;
  }
}
