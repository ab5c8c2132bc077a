/**
 * What workers print, on the terminal of the driver: each line with the name and pid of its worker, identical lines folded.
 */
import type { Body } from "../../protocol/messages.ts";

/** Identical lines are folded for so long. */
const FOLD_MS = 5_000;
const SEEN_MAX = 1_000;

interface Seen {
  count: number;
  /** As it was printed first, and where. */
  readonly first: string;
  readonly out: NodeJS.WriteStream;
}

export class LogPrinter {
  readonly #seen = new Map<string, Seen>();
  #timer: NodeJS.Timeout | undefined;

  print({ name, pid, stream, lines }: Body<"log">): void {
    const out = stream === "stderr" ? process.stderr : process.stdout;
    const head = colour(out, 36, `(${name} pid=${pid})`);
    for (const line of lines) {
      const key = `${stream} ${line}`;
      const seen = this.#seen.get(key);
      if (seen) {
        seen.count++;
        continue;
      }
      const first = `${head} ${line}`;
      out.write(`${first}\n`);
      if (line.trim() === "" || this.#seen.size >= SEEN_MAX) continue;
      this.#seen.set(key, { count: 0, first, out });
      this.#timer ??= setTimeout(() => this.flush(), FOLD_MS).unref();
    }
  }

  warn(message: string): void {
    process.stderr.write(`${colour(process.stderr, 33, "mobula:")} ${message}\n`);
  }

  /** Says how often folded lines came again. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { count, first, out } of this.#seen.values()) {
      if (count > 0) out.write(`${first} ${colour(out, 2, `[repeated ${count}x]`)}\n`);
    }
    this.#seen.clear();
  }
}

function colour(out: NodeJS.WriteStream, code: number, text: string): string {
  const forced = process.env["FORCE_COLOR"];
  const on = process.env["NO_COLOR"] === undefined && (out.isTTY || (forced !== undefined && forced !== "0"));
  return on ? `\u001b[${code}m${text}\u001b[0m` : text;
}
