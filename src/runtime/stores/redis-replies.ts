/** Replies of Redis (RESP 2) from a stream of bytes that is cut anywhere. */

export type Reply = string | number | Buffer | null | Reply[];

/** A whole reply; an error reply is a value here, so that one inside an array does not end the reading. */
export interface Whole {
  readonly value: Reply | Error;
}

const DEPTH_MAX = 16;
/** Redis itself allows a value of 512 MiB. */
const BULK_MAX = 512 * 1024 * 1024;
const LINE_MAX = 64 * 1024;

class Incomplete extends Error {
  /** How many bytes must be there before it is worth another try. */
  readonly needed: number;
  constructor(needed: number) {
    super("incomplete");
    this.needed = needed;
  }
}

export class ReplyReader {
  #chunks: Buffer[] = [];
  #length = 0;
  #needed = 1;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** The next reply, if all of it is there. Throws for what is no reply. */
  next(): Whole | undefined {
    const there = this.#bytes.length - this.#at + this.#length;
    if (there < this.#needed) return undefined;
    if (this.#length > 0) {
      this.#bytes = Buffer.concat([this.#bytes.subarray(this.#at), ...this.#chunks]);
      this.#chunks = [];
      this.#length = 0;
      this.#at = 0;
    }
    const start = this.#at;
    try {
      const value = this.#value(0);
      this.#needed = 1;
      return { value };
    } catch (error) {
      if (!(error instanceof Incomplete)) throw error;
      this.#at = start;
      this.#needed = error.needed - start;
      return undefined;
    }
  }

  #value(depth: number): Reply | Error {
    const line = this.#line();
    const rest = line.slice(1);
    switch (line[0]) {
      case "+":
        return rest;
      case "-":
        return new Error(rest);
      case ":":
        return integer(rest);
      case "$":
        return this.#bulk(integer(rest));
      case "*":
        return this.#array(integer(rest), depth);
      default:
        throw new Error(`a reply begins with ${JSON.stringify(line.slice(0, 20))}`);
    }
  }

  #line(): string {
    const end = this.#bytes.indexOf("\r\n", this.#at, "latin1");
    if (end === -1) {
      if (this.#bytes.length - this.#at > LINE_MAX) throw new Error("a line without an end");
      throw new Incomplete(this.#bytes.length + 1);
    }
    const line = this.#bytes.latin1Slice(this.#at, end);
    this.#at = end + 2;
    return line;
  }

  #bulk(length: number): Buffer | null {
    if (length === -1) return null;
    if (length < 0 || length > BULK_MAX) throw new Error(`a value of ${length} bytes`);
    const end = this.#at + length;
    if (this.#bytes.length < end + 2) throw new Incomplete(end + 2);
    const value = this.#bytes.subarray(this.#at, end);
    this.#at = end + 2;
    return value;
  }

  #array(length: number, depth: number): Reply[] | null {
    if (length === -1) return null;
    if (length < 0 || depth >= DEPTH_MAX) throw new Error("an array that cannot be");
    const values: Reply[] = [];
    for (let i = 0; i < length; i++) {
      const value = this.#value(depth + 1);
      values.push(value instanceof Error ? value.message : value);
    }
    return values;
  }
}

function integer(text: string): number {
  if (!/^-?\d{1,15}$/.test(text)) throw new Error(`a number is ${JSON.stringify(text.slice(0, 20))}`);
  return Number(text);
}
