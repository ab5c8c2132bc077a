/** Echo processes and the loops over them: the raw limit of tasks and actors, in loops of the same shape as theirs. */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import type { Loop, LoopMaker, Loops } from "../definitions.ts";
import { Caller } from "./channel.ts";
import type { Order } from "./echo-process.ts";

/** Workers of every contender. */
const WORKERS = 2;

/** Some echo processes, connected to this one. */
class Echo {
  readonly #folder = mkdtempSync(path.join(os.tmpdir(), "bench-"));
  readonly #children: ChildProcess[] = [];
  readonly paths: string[] = [];
  readonly callers: Caller[] = [];

  static async start(count: number): Promise<Echo> {
    const echo = new Echo();
    for (let i = 0; i < count; i++) {
      const place = path.join(echo.#folder, String(i));
      const child = fork(path.join(import.meta.dirname, "echo-process.ts"), [place]);
      echo.#children.push(child);
      await new Promise<void>((resolve, reject) => {
        child.once("message", () => resolve());
        child.once("exit", (code) => reject(new Error(`an echo process ended with ${code}`)));
      });
      echo.paths.push(place);
      echo.callers.push(await Caller.connect(place));
    }
    return echo;
  }

  close(): Promise<void> {
    for (const caller of this.callers) caller.close();
    for (const child of this.#children) child.disconnect();
    rmSync(this.#folder, { recursive: true, force: true });
    return Promise.resolve();
  }
}

/** One call after another. */
const oneByOne: LoopMaker = async () => {
  const echo = await Echo.start(1);
  const [caller] = echo.callers;
  return { once: () => caller!.call("x"), close: () => echo.close() };
};

/** `count` calls at once over `workers` processes. */
const batch =
  (workers: number, count: number): LoopMaker =>
  async (size) => {
    const echo = await Echo.start(workers);
    const calls = size(count);
    const once = async (): Promise<void> => {
      const answers: Promise<unknown>[] = [];
      for (let i = 0; i < calls; i++) answers.push(echo.callers[i % workers]!.call("x"));
      await Promise.all(answers);
    };
    return { once, close: () => echo.close() };
  };

/** `clients` processes make `calls` calls each to `servers` others. */
const indirect =
  (clients: number, servers: number, calls: number, roundRobin: boolean): LoopMaker =>
  async (size) => {
    const echo = await Echo.start(clients + servers);
    const order: Order = { servers: echo.paths.slice(clients), calls: size(calls), roundRobin };
    const once = (): Promise<unknown> => Promise.all(echo.callers.slice(0, clients).map((caller) => caller.call(order)));
    return { once, close: () => echo.close() };
  };

/** A client for each server, and only for it. */
const paired =
  (pairs: number, calls: number): LoopMaker =>
  async (size): Promise<Loop> => {
    const echo = await Echo.start(2 * pairs);
    const once = (): Promise<unknown> =>
      Promise.all(
        echo.callers.slice(0, pairs).map((caller, i) => {
          const order: Order = { servers: [echo.paths[pairs + i]!], calls: size(calls), roundRobin: false };
          return caller.call(order);
        }),
      );
    return { once, close: () => echo.close() };
  };

export const loops: Loops = {
  A5: batch(WORKERS, 1000),
  A9: oneByOne,
  A10: batch(WORKERS, 1000),
  A11: indirect(4, WORKERS, 10_000, true),
  A12: oneByOne,
  A13: batch(1, 1000),
  A14: batch(1, 1000),
  A15: indirect(1, 1, 5000, false),
  A15x4: indirect(1, 4, 5000, false),
  A16: indirect(4, 1, 5000, true),
  A16x4: indirect(4, 4, 5000, true),
  A17: paired(1, 1000),
  A17x4: paired(4, 1000),
  A18: oneByOne,
  A19: batch(1, 1000),
  A20: batch(1, 1000),
  A21: indirect(1, 1, 5000, false),
  A21x4: indirect(1, 4, 5000, false),
  A22: indirect(4, 1, 5000, true),
  A22x4: indirect(4, 4, 5000, true),
};
