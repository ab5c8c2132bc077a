/**
 * The raw limit of messages between processes: msgpackr, frames of up to 256 messages flushed by microtask, a Map of pending calls and a
 * promise for each. No engine, no errors, no references: what a task costs when it is nothing but its two messages.
 */
import net from "node:net";
import { Packr, Unpackr } from "msgpackr";

const FRAME_MESSAGES_MAX = 256;
const HEADER = 4;

type Message = [id: number, body: unknown];

/** Sends and receives messages over one socket, in frames. */
export class Channel {
  readonly #socket: net.Socket;
  readonly #packr = new Packr({ useRecords: false });
  readonly #unpackr = new Unpackr({ useRecords: false });
  readonly #receive: (id: number, body: unknown, channel: Channel) => void;
  #batch: Message[] = [];
  #rest: Buffer | undefined;
  readonly #flush = () => {
    if (this.#batch.length === 0) return;
    const body = this.#packr.pack(this.#batch);
    const frame = Buffer.allocUnsafe(HEADER + body.length);
    frame.writeUInt32LE(body.length, 0);
    body.copy(frame, HEADER);
    this.#batch = [];
    this.#socket.write(frame);
  };

  constructor(socket: net.Socket, receive: (id: number, body: unknown, channel: Channel) => void) {
    this.#socket = socket;
    this.#receive = receive;
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    // The other end is a process of this suite, which ends its children when it is done with them.
    socket.on("error", () => socket.destroy());
  }

  send(id: number, body: unknown): void {
    if (this.#batch.push([id, body]) === 1) queueMicrotask(this.#flush);
    else if (this.#batch.length === FRAME_MESSAGES_MAX) this.#flush();
  }

  #read(chunk: Buffer): void {
    let bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= HEADER) {
      const end = HEADER + bytes.readUInt32LE(0);
      if (bytes.length < end) break;
      for (const [id, body] of this.#unpackr.unpack(bytes.subarray(HEADER, end)) as Message[]) this.#receive(id, body, this);
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes.length > 0 ? bytes : undefined;
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** The calling end: each call is a message and a promise. */
export class Caller {
  readonly #channel: Channel;
  readonly #pending = new Map<number, (body: unknown) => void>();
  #nextId = 1;

  private constructor(socket: net.Socket) {
    this.#channel = new Channel(socket, (id, body) => {
      const resolve = this.#pending.get(id);
      this.#pending.delete(id);
      resolve?.(body);
    });
  }

  static async connect(path: string): Promise<Caller> {
    const socket = net.connect(path);
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new Caller(socket);
  }

  call(body: unknown): Promise<unknown> {
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve) => this.#pending.set(id, resolve));
    this.#channel.send(id, body);
    return answer;
  }

  close(): void {
    this.#channel.close();
  }
}
