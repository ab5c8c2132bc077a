/**
 * The side of a contender: a process that prepares loops and runs rounds of them as the runner says, one JSON line each way. Requests
 * come on stdin, answers go to descriptor 3, so that what a contender prints cannot be taken for one. ray/serve.py is the same in Python.
 */
import net from "node:net";
import readline from "node:readline";
import type { Effort, Loop, Loops, Sized } from "../definitions.ts";

export type Request =
  | { readonly do: "prepare"; readonly row: string; readonly effort: Effort; readonly warmSeconds: number }
  | { readonly do: "round"; readonly seconds: number }
  | { readonly do: "finish" };

export interface Answer {
  readonly error?: string;
  /** Of a round that was timed, or of the warm-up of a loop that is. */
  readonly calls?: number;
  readonly seconds?: number;
  /** Of a loop that says its own figure. */
  readonly value?: number;
}

const SMOKE_SIZE = 10;

export function sizedFor(effort: Effort): Sized {
  if (effort === "smoke") return (full) => Math.min(full, SMOKE_SIZE);
  return effort === "quick" ? (full, quick = full) => quick : (full) => full;
}

/** One contender's side of the conversation, without the pipes. */
export class Contender {
  readonly #loops: Loops;
  #loop: Loop | undefined;
  /** Calls between two looks at the clock: Ray's own rule, a tenth of what a warm-up of one second did. */
  #step = 1;

  constructor(loops: Loops) {
    this.#loops = loops;
  }

  async answer(request: Request): Promise<Answer> {
    if (request.do === "prepare") return this.#prepare(request);
    if (request.do === "finish") return this.finish();
    const loop = this.#loop;
    if (loop === undefined) throw new Error("no loop is prepared");
    if (loop.measure !== undefined) return { value: await loop.measure() };
    return this.#timed(loop, request.seconds);
  }

  async #prepare(request: Extract<Request, { do: "prepare" }>): Promise<Answer> {
    await this.finish();
    const make = this.#loops[request.row];
    if (make === undefined) throw new Error(`this contender has no loop called ${request.row}`);
    const loop = await make(sizedFor(request.effort));
    this.#loop = loop;
    if (loop.once === undefined) return {};
    this.#step = 1;
    const { calls, seconds } = await this.#timed(loop, request.warmSeconds);
    this.#step = Math.floor(calls / Math.max(seconds, 1) / 10) + 1;
    return { calls, seconds };
  }

  async #timed(loop: Loop, atLeast: number): Promise<{ calls: number; seconds: number }> {
    const once = loop.once!;
    const startedAt = performance.now();
    let calls = 0;
    let seconds = 0;
    do {
      for (let i = 0; i < this.#step; i++) await once();
      calls += this.#step;
      seconds = (performance.now() - startedAt) / 1000;
    } while (seconds < atLeast);
    return { calls, seconds };
  }

  async finish(): Promise<Answer> {
    const loop = this.#loop;
    this.#loop = undefined;
    await loop?.close?.();
    return {};
  }
}

/** Answers requests until stdin ends, then closes and lets the process end. */
export async function serve(loops: Loops, close?: () => Promise<unknown>): Promise<void> {
  const contender = new Contender(loops);
  const out = new net.Socket({ fd: 3, readable: false, writable: true });
  // The runner has gone: its stdin ends as well, which ends this loop.
  out.on("error", () => undefined);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer: Answer;
    try {
      answer = await contender.answer(JSON.parse(line) as Request);
    } catch (error) {
      answer = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
    out.write(`${JSON.stringify(answer)}\n`);
  }
  await contender.finish();
  await close?.();
  out.end();
}
