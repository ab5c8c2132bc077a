/**
 * Reads frames from a socket: straight from the kernel into their places where the connection was dialled so, else by way of the chunks
 * that the socket gives. It stops reading while a frame is being dealt with.
 */
import type { Socket } from "node:net";
import type { ByteTaker } from "../network/index.ts";
import { FrameReader } from "./frames.ts";
import type { FrameEvents } from "./frames.ts";

export interface ReadingEvents extends FrameEvents {
  /** Once: what came is no frame, or could not be dealt with, or (undefined) the connection is gone. The socket is destroyed. */
  ended(error: Error | undefined): void;
}

export class Reading implements ByteTaker {
  readonly #events: ReadingEvents;
  readonly #reader: FrameReader;
  #socket: Socket | undefined;
  #rest: Uint8Array | undefined;
  #busy = false;
  #over = false;

  constructor(events: ReadingEvents) {
    this.#events = events;
    this.#reader = new FrameReader(events);
  }

  /** `direct`: the socket puts its bytes into `buffer` by itself. */
  attach(socket: Socket, direct: boolean): void {
    this.#socket = socket;
    if (!direct) socket.on("data", (chunk: Uint8Array) => this.take(chunk));
    // "close" follows, and is the one to act on.
    socket.on("error", () => undefined);
    socket.on("close", () => this.end(undefined));
    socket.resume();
  }

  buffer(): Uint8Array {
    return this.#reader.buffer();
  }

  took(length: number): void {
    if (this.#over) return;
    try {
      const done = this.#reader.took(length);
      if (done !== undefined) this.#wait(done);
    } catch (error) {
      this.end(error as Error);
    }
  }

  end(error: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#rest = undefined;
    // Nothing is put into a place any more from here on.
    this.#socket?.pause();
    this.#socket?.destroy();
    this.#events.ended(error);
  }

  take(chunk: Uint8Array): void {
    // One more may come after the socket was told to pause.
    let rest = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    while (rest.byteLength > 0 && !this.#busy && !this.#over) {
      const buffer = this.#reader.buffer();
      const length = Math.min(buffer.byteLength, rest.byteLength);
      buffer.set(rest.subarray(0, length));
      rest = rest.subarray(length);
      this.took(length);
    }
    if (rest.byteLength > 0) this.#rest = rest;
  }

  #wait(done: Promise<void>): void {
    this.#busy = true;
    this.#socket?.pause();
    done.then(
      () => {
        this.#busy = false;
        const rest = this.#rest;
        this.#rest = undefined;
        if (rest !== undefined) this.take(rest);
        if (!this.#busy && !this.#over) this.#socket?.resume();
      },
      (error: unknown) => this.end(error as Error),
    );
  }
}
