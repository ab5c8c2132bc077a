/** The runner's side of a contender's process: starts it, asks it one thing at a time, and sees to it that it ends. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import readline from "node:readline";
import type { Readable } from "node:stream";
import type { Answer, Request } from "./serve.ts";

/** How a contender is started. */
export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A contender that has not answered for so long is given up. */
const ANSWER_MS = 300_000;
/** How long one may take to end by itself: Ray's shutdown takes seconds. */
const END_MS = 60_000;
const STDERR_KEPT = 2000;

export class Driver {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #ended: Promise<void>;
  #stderr = "";

  constructor(program: Program) {
    const child = spawn(program.command, program.args, {
      stdio: ["pipe", "ignore", "pipe", "pipe"],
      env: { ...process.env, ...program.env },
    });
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once("close", () => resolve()).once("error", () => resolve()));
    child.stdin!.on("error", () => undefined); // It has ended: its missing answer says so.
    child.stderr!.on("data", (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-STDERR_KEPT);
    });
    this.#answers = readline.createInterface({ input: child.stdio[3] as Readable })[Symbol.asyncIterator]();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** What it answers; rejects with its error, with the end of its stderr when it has ended, or when it is late. */
  async ask(request: Request): Promise<Answer> {
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer to ${request.do} within ${ANSWER_MS / 1000} s`)), ANSWER_MS);
    });
    const line = await Promise.race([this.#answers.next(), late]).finally(() => clearTimeout(timer));
    if (line.done === true) throw new Error(`the process ended: ${this.#stderr.trim() || "it wrote nothing to stderr"}`);
    const answer = JSON.parse(line.value) as Answer;
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }

  /** Lets it end by itself, and kills it when it does not. */
  async end(): Promise<void> {
    this.#child.stdin!.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), END_MS);
    await this.#ended;
    clearTimeout(timer);
  }
}
