/**
 * One connection between two processes: messages out are gathered and written once per turn of the event loop, messages
 * in are cut from the stream and handed on. It delivers in order and once, or it breaks; it never repairs itself.
 *
 * Batching is where the throughput comes from: one system call carries hundreds of small messages. Within a turn what is gathered
 * is written early, so that the peer works while we still submit: after FIRST_FLUSH_BYTES, then after twice as much each time.
 */
import type { Socket } from "node:net";
import type { Body, MessageName } from "../../protocol/messages.ts";
import {
  ARRAY_16,
  codeOf,
  decodeBody,
  decodeRun,
  encodeBody,
  FIRST_DIRECT_CODE,
  HEADER_BYTES,
  limitOf,
  MESSAGE_BYTES_MAX,
  RUN,
  RUN_BYTES_MAX,
  RUN_HEADER_BYTES,
} from "../../protocol/wire.ts";
import { MobulaError, explain } from "../../errors/index.ts";
import { MalformedMessage } from "../../protocol/schema.ts";

const FIRST_FLUSH_BYTES = 2 * 1024;
const FLUSH_BYTES = 64 * 1024;
/** A message of more bytes has a frame of its own. */
const RUN_BODY_MAX = RUN_BYTES_MAX / 8;
/** A run does not grow beyond this. */
const RUN_FULL = RUN_BYTES_MAX / 2;
/** Continuing from it costs a fifth of `queueMicrotask`, which makes an async resource each time. */
const SOON = Promise.resolve();

/** A message of the tables, or a hot one as raw bytes: `buffer` is shared and must be copied from before returning. */
export interface ConnectionHandler {
  message(name: MessageName, body: never, bytes: number): void;
  /** `at` is the offset of the body in `buffer`, `end` its end. Absent: hot messages are refused. */
  direct?(code: number, buffer: Buffer, at: number, end: number): void;
  /** Longest body of a hot message; without it the limit is that of all messages. */
  readonly directLimit?: number;
  /** Once. Everything that the peer sent has been handed on before. */
  closed(error: Error | undefined): void;
  /** Called after a batch of received messages has been handed on. */
  batchEnd?(): void;
  /** Called before anything is written: what must be heard before it goes out by another connection first. */
  flushing?(): void;
}

export class Connection {
  readonly #socket: Socket;
  readonly #handler: ConnectionHandler;
  #out: Buffer = Buffer.allocUnsafeSlow(FLUSH_BYTES + 4096);
  #used = 0;
  /** The run at the end of what is gathered, if it ends where that does: its first byte, its end, how many it has and of what. */
  readonly #run = { at: 0, end: -1, count: 0, code: 0 };
  #scheduled = false;
  #flushAt = FIRST_FLUSH_BYTES;
  #rest: Buffer | undefined;
  #closed = false;
  #error: Error | undefined;
  readonly #turnEnd = (): void => {
    this.#scheduled = false;
    this.#flushAt = FIRST_FLUSH_BYTES;
    this.flush();
  };

  constructor(socket: Socket, handler: ConnectionHandler) {
    this.#socket = socket;
    this.#handler = handler;
    socket.setNoDelay?.(true);
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("error", (error) => (this.#error = error));
    socket.on("end", () => socket.destroy());
    socket.on("close", () => this.#ended());
    // One that broke before it was handed over will not say so again.
    if (socket.closed) queueMicrotask(() => this.#ended());
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Bytes handed to the socket and not yet taken by the kernel. */
  get queuedBytes(): number {
    return this.#used + this.#socket.writableLength;
  }

  send<N extends MessageName>(name: N, body: Body<N>): void {
    if (this.#closed) return;
    const bytes = encodeBody(name, body);
    const code = codeOf(name);
    // The other side would cut the connection, and nobody would know why.
    if (bytes.byteLength > limitOf(code)!) throw tooLong(name, bytes.byteLength, limitOf(code)!);
    if (bytes.byteLength > RUN_BODY_MAX) {
      const at = this.begin(code, bytes.byteLength);
      this.#out.set(bytes, at);
    } else this.#append(code, bytes);
    this.commit();
  }

  /** Messages of one kind in a row share a frame, which is half of what a small one costs its receiver. */
  #append(code: number, bytes: Uint8Array): void {
    const run = this.#run;
    const goesOn = run.code === code && run.end === this.#used && run.end - run.at < RUN_FULL;
    if (goesOn && run.end + bytes.byteLength <= this.#out.byteLength) run.count++;
    else {
      const body = this.begin(RUN, RUN_HEADER_BYTES + bytes.byteLength);
      this.#out[body] = code;
      this.#out[body + 1] = ARRAY_16;
      run.at = body - HEADER_BYTES;
      run.code = code;
      run.count = 1;
      this.#used -= bytes.byteLength;
    }
    const out = this.#out;
    out.set(bytes, this.#used);
    this.#used = run.end = this.#used + bytes.byteLength;
    const body = run.at + HEADER_BYTES;
    out[body + 2] = run.count >>> 8;
    out[body + 3] = run.count;
    writeLength(out, run.at, run.end - body + 1);
  }

  /** Room for a message whose body is `length` bytes; write it into `buffer` at the returned offset, then `commit`. */
  begin(code: number, length: number): number {
    const need = this.#used + HEADER_BYTES + length;
    if (need > this.#out.byteLength) this.#grow(length + HEADER_BYTES);
    const out = this.#out;
    const at = this.#used;
    writeLength(out, at, length + 1);
    out[at + 4] = code;
    this.#used = at + HEADER_BYTES + length;
    return at + HEADER_BYTES;
  }

  get buffer(): Buffer {
    return this.#out;
  }

  commit(): void {
    if (this.#used >= this.#flushAt) {
      this.#flushAt = Math.min(2 * this.#flushAt, FLUSH_BYTES);
      this.flush();
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    void SOON.then(this.#turnEnd);
  }

  /** Writes what is gathered. */
  flush(): void {
    if (this.#used === 0 || this.#closed) return;
    this.#handler.flushing?.();
    const full = this.#out;
    const gathered = full.subarray(0, this.#used);
    this.#used = 0;
    this.#run.end = -1;
    const socket = this.#socket;
    // A slow peer: what is written now waits in the socket, and is to keep its own bytes, not the whole room around them.
    if (socket.writableLength > 0 && 2 * gathered.byteLength < full.byteLength) {
      socket.write(Buffer.from(gathered));
      return;
    }
    socket.write(gathered);
    // What the kernel took at once is free to be overwritten; else the socket still reads from the buffer.
    if (socket.writableLength > 0 || full.byteLength > 16 * FLUSH_BYTES) this.#out = Buffer.allocUnsafeSlow(FLUSH_BYTES + 4096);
  }

  /** Ends the connection after what was sent has gone out. */
  close(): void {
    this.flush();
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** An idle connection that is unref'd does not keep its process alive. */
  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }

  #grow(length: number): void {
    this.flush();
    if (length > this.#out.byteLength) this.#out = Buffer.allocUnsafeSlow(length + 4096);
  }

  #received(chunk: Buffer): void {
    let buffer = chunk;
    if (this.#rest) {
      buffer = this.#rest.byteLength === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
      this.#rest = undefined;
    }
    try {
      const at = this.#cut(buffer);
      if (at < buffer.byteLength) this.#keep(buffer, at);
      this.#handler.batchEnd?.();
    } catch (error) {
      this.#fail(error);
    }
  }

  #cut(buffer: Buffer): number {
    const handler = this.#handler;
    let at = 0;
    while (buffer.byteLength - at >= HEADER_BYTES) {
      const length = buffer.readUInt32LE(at);
      const code = buffer[at + 4]!;
      if (length < 1 || length > MESSAGE_BYTES_MAX) throw new MalformedMessage("length", `1 to ${MESSAGE_BYTES_MAX}`, length);
      const end = at + 4 + length;
      if (end > buffer.byteLength) {
        this.#checkLimit(code, length - 1);
        break;
      }
      if (code === RUN) {
        const { name, bodies } = decodeRun(buffer.subarray(at + HEADER_BYTES, end));
        for (const body of bodies) if (!this.#closed) handler.message(name, body, Math.ceil(length / bodies.length));
      } else if (code >= FIRST_DIRECT_CODE) {
        if (!handler.direct) throw new MalformedMessage("code", "a message for this peer", code);
        handler.direct(code, buffer, at + HEADER_BYTES, end);
      } else {
        const { name, body } = decodeBody(code, buffer.subarray(at + HEADER_BYTES, end));
        handler.message(name, body, length);
      }
      at = end;
      if (this.#closed) return buffer.byteLength;
    }
    return at;
  }

  /** A long message is refused by its header, before its bytes are gathered. */
  #checkLimit(code: number, length: number): void {
    const { direct, directLimit } = this.#handler;
    const hot = code >= FIRST_DIRECT_CODE;
    if (code === RUN && length > RUN_BYTES_MAX) throw new MalformedMessage("length", `at most ${RUN_BYTES_MAX}`, length);
    if (code === RUN) return;
    const limit = hot ? direct && (directLimit ?? MESSAGE_BYTES_MAX) : limitOf(code);
    if (limit === undefined) throw new MalformedMessage("code", "a known message", code);
    if (length > limit) throw new MalformedMessage("length", `at most ${limit}`, length);
  }

  /** Chunks of a long message are gathered and joined once, so that it is linear. */
  #keep(buffer: Buffer, at: number): void {
    this.#rest = buffer.subarray(at);
    if (buffer.byteLength - at < HEADER_BYTES) return;
    const total = 4 + buffer.readUInt32LE(at);
    if (total < 2 * FLUSH_BYTES) return;
    // What has come is kept, and no more: the length is the peer's word.
    const parts: Buffer[] = [Buffer.from(this.#rest)];
    let filled = parts[0]!.byteLength;
    this.#rest = undefined;
    this.#socket.removeAllListeners("data");
    this.#socket.on("data", (chunk: Buffer) => {
      const used = Math.min(chunk.byteLength, total - filled);
      parts.push(used < chunk.byteLength ? chunk.subarray(0, used) : chunk);
      filled += used;
      if (filled < total) return;
      this.#socket.removeAllListeners("data");
      this.#socket.on("data", (next: Buffer) => this.#received(next));
      this.#received(Buffer.concat(parts.splice(0), total));
      if (used < chunk.byteLength && !this.#closed) this.#received(chunk.subarray(used));
    });
  }

  #fail(error: unknown): void {
    // A handler's own fault is not the peer's: it must be seen, not turned into a broken connection.
    if (!(error instanceof MalformedMessage)) throw error;
    this.#error = error;
    this.#socket.destroy();
  }

  #ended(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handler.closed(this.#error);
  }
}

function writeLength(out: Buffer, at: number, length: number): void {
  out[at] = length;
  out[at + 1] = length >>> 8;
  out[at + 2] = length >>> 16;
  out[at + 3] = length >>> 24;
}

function tooLong(name: MessageName, bytes: number, limit: number): MobulaError {
  return new MobulaError(
    "MESSAGE_TOO_LONG",
    explain(
      `A message (${name}) of ${bytes} bytes was not sent`,
      `It may have ${limit}`,
      "Put large values into the store, and send their refs",
    ),
  );
}
