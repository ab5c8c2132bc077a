/**
 * Actors with `checkpoint` on a cluster of this machine, while their workers, the nodes that they run on and control are killed at random:
 * every call that was made is in their state once, in the order of its caller, at the place that the caller was told. `count` is the number
 * of kills. A node that was killed is replaced.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import * as ray from "mobula";
import { command } from "./hosts.ts";
import { Random } from "./random.ts";
import type { Figures, RunOptions } from "./report.ts";

const WRITERS = 4;
const LEDGERS = 2;
/** Of each writer, before the next kill: or all that dies is what starts. */
const BETWEEN = 3;
const STUCK_MS = 60_000;

interface Node {
  readonly address: string;
  readonly pid: number;
}

/** Every call adds a line; what it returns is the place of its line. */
class Ledger {
  readonly lines: string[] = [];
  write(line: string): number {
    return this.lines.push(line) - 1;
  }
  pid(): number {
    return process.pid;
  }
  read(): string[] {
    return this.lines;
  }
}

type LedgerHandle = ray.ActorHandle<Ledger>;

/** The nodes of one folder. */
class Nodes {
  readonly home = mkdtempSync(join(tmpdir(), "mobula-chaos-"));

  mobula<T>(...words: string[]): Promise<T> {
    const env = { ...process.env, MOBULA_HOME: this.home };
    return new Promise((resolve, reject) => {
      execFile(process.execPath, [command, ...words, "--json"], { env, timeout: 90_000 }, (error, stdout, stderr) => {
        if (error === null) resolve(JSON.parse(stdout) as T);
        else reject(new Error(`mobula ${words.join(" ")}: ${stderr}`));
      });
    });
  }

  head(): Promise<Node> {
    return this.mobula("start", "--head", "--port", "0", "--dashboard-port", "0", "--num-cpus", "1");
  }

  another(address: string): Promise<Node> {
    return this.mobula("start", "--address", address, "--num-cpus", "1", "--resources", '{"ledgers":10}');
  }

  async end(): Promise<void> {
    await this.mobula("stop", "--all").catch(() => undefined);
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** One caller, one call after the other. */
class Writer {
  /** Where each of its lines is, by ledger. */
  readonly told: (readonly [ledger: number, place: number])[] = [];
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  lineOf(i: number): string {
    return `${this.#name} ${i}`;
  }

  async run(ledgers: readonly LedgerHandle[], random: Random, over: () => boolean): Promise<void> {
    while (!over()) {
      const ledger = random.int(0, LEDGERS);
      const place = await ray.get(ledgers[ledger]!.write.remote(this.lineOf(this.told.length)));
      this.told.push([ledger, place]);
    }
  }
}

/** What is not as it was told, or is there twice. */
function wrongIn(read: readonly (readonly string[])[], writers: readonly Writer[]): string[] {
  const wrong: string[] = [];
  for (const writer of writers) {
    const last = read.map(() => -1);
    for (const [i, [ledger, place]] of writer.told.entries()) {
      const line = writer.lineOf(i);
      if (read[ledger]![place] !== line) wrong.push(`${line} was told to be at ${place} of ${ledger}, where ${read[ledger]![place]} is`);
      if (place <= last[ledger]!) wrong.push(`${line} is at ${place} of ${ledger}, before a line that was written earlier`);
      last[ledger] = place;
    }
  }
  const lines = read.flat();
  const made = writers.reduce((sum, { told }) => sum + told.length, 0);
  if (lines.length !== made || new Set(lines).size !== made) wrong.push(`${made} lines were written, and ${lines.length} are there`);
  return wrong;
}

export async function checkpoints({ count, seed }: RunOptions): Promise<Figures> {
  const random = new Random(seed);
  const nodes = new Nodes();
  const kills: Record<string, number> = { worker: 0, node: 0, control: 0 };
  try {
    const { address } = await nodes.head();
    const others = [await nodes.another(address), await nodes.another(address)];
    process.env["MOBULA_HOME"] = nodes.home;
    await ray.init({ address, logToDriver: false });
    const options = { numCpus: 0, resources: { ledgers: 1 }, maxRestarts: -1, maxTaskRetries: -1, checkpoint: { everyCalls: 7 } } as const;
    const ledgers = Array.from({ length: LEDGERS }, () => ray.remote(Ledger).options(options).remote());
    const writers = Array.from({ length: WRITERS }, (_, i) => new Writer(`writer ${i}`));
    const state: { over: boolean; failed?: Error } = { over: false };
    const over = (): boolean => state.over || state.failed !== undefined;
    const running = writers.map((writer) => writer.run(ledgers, random, over).catch((error: Error) => void (state.failed ??= error)));
    let longestMs = 0;
    for (let i = 0; i < count && !over(); i++) {
      const before = writers.map(({ told }) => told.length + BETWEEN);
      const since = performance.now();
      while (!over() && writers.some(({ told }, w) => told.length < before[w]!)) {
        if (performance.now() - since > STUCK_MS) throw new Error(`nothing was written for ${STUCK_MS} ms after ${JSON.stringify(kills)}`);
        await pause(20);
      }
      longestMs = Math.max(longestMs, performance.now() - since);
      await pause(random.int(0, 500));
      const kind = random.pick(["worker", "worker", "node", "control"]);
      if (kind === "worker") process.kill(await ray.get(random.pick(ledgers).pid.remote()), "SIGKILL");
      else if (kind === "node") {
        const at = random.int(0, others.length);
        process.kill(others[at]!.pid, "SIGKILL");
        others[at] = await nodes.another(address);
      } else process.kill((await nodes.mobula<{ control: Node }>("status")).control.pid, "SIGKILL");
      kills[kind]!++;
    }
    state.over = true;
    await Promise.all(running);
    if (state.failed !== undefined) throw state.failed;
    const failures = wrongIn(await ray.get(ledgers.map((ledger) => ledger.read.remote())), writers);
    await ray.shutdown();
    const written = writers.reduce((sum, { told }) => sum + told.length, 0);
    return { failures: failures.slice(0, 5), figures: { ...kills, written, "longest ms until it went on": Math.round(longestMs) } };
  } catch (error) {
    await ray.shutdown();
    return { failures: [error instanceof Error ? (error.stack ?? error.message) : String(error)], figures: kills };
  } finally {
    await nodes.end();
  }
}
