/**
 * Lines out of a worker's stdout and stderr, of bounded length. Whatever the bytes are, each line is given once, the
 * last also without its newline. Not who reads them: that is the log forwarder's.
 */
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";

const LINE_MAX = 64 * 1024;
const CUT = "… (cut)";

export class LineReader {
  readonly #decoder = new StringDecoder("utf8");
  readonly #onLines: (lines: string[]) => void;
  #rest = "";
  /** The rest of a line that was cut is dropped. */
  #cut = false;

  constructor(stream: Readable, onLines: (lines: string[]) => void) {
    this.#onLines = onLines;
    stream.on("data", (chunk: Buffer) => this.#take(this.#decoder.write(chunk)));
    // A pipe that breaks has no more lines; its process's exit tells why.
    stream.on("error", () => {});
  }

  /** The last line, if it had no end. */
  end(): void {
    this.#take(this.#decoder.end());
    if (this.#rest !== "") this.#onLines([this.#rest]);
    this.#rest = "";
  }

  #take(text: string): void {
    const parts = text.split("\n");
    const last = parts.pop()!;
    const lines: string[] = [];
    for (const part of parts) {
      if (!this.#cut) lines.push(withinLimit(this.#rest + part));
      this.#rest = "";
      this.#cut = false;
    }
    if (!this.#cut) this.#rest += last;
    if (this.#rest.length > LINE_MAX) {
      lines.push(withinLimit(this.#rest));
      this.#rest = "";
      this.#cut = true;
    }
    if (lines.length > 0) this.#onLines(lines);
  }
}

function withinLimit(line: string): string {
  const text = line.endsWith("\r") ? line.slice(0, -1) : line;
  return text.length <= LINE_MAX ? text : text.slice(0, LINE_MAX - CUT.length) + CUT;
}
