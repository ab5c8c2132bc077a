/**
 * Reads frames of the handshake from a socket and takes not a byte more, so that the socket can be handed on with all that
 * follows still in it. Whatever goes wrong is told once; then the socket is left alone.
 */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { FrameReader } from "./handshake.ts";
import type { Frame, FrameKind } from "./handshake.ts";

export interface FrameEvents {
  /** The socket failed, or ended, or what it said is no frame (BadHandshake). */
  failed(error: Error | undefined): void;
}

export class FrameSource {
  readonly #socket: Socket;
  readonly #events: FrameEvents;
  #reader: FrameReader | undefined;
  #then: ((frame: Frame) => void) | undefined;
  #done = false;
  /** Whether anything has come. */
  heard = false;

  readonly #onReadable = (): void => this.#read();
  readonly #onClose = (): void => this.#fail(undefined);
  readonly #onError = (error: Error): void => this.#fail(error);

  constructor(socket: Socket, events: FrameEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.on("readable", this.#onReadable);
    socket.on("end", this.#onClose);
    socket.on("close", this.#onClose);
    socket.on("error", this.#onError);
  }

  /** The next frame, which must be of one of these kinds. */
  expect(kinds: readonly FrameKind[], then: (frame: Frame) => void): void {
    this.#reader = new FrameReader(...kinds);
    this.#then = then;
    this.#read();
  }

  /** Lets go of the socket: what comes next is for whoever reads it then. */
  release(): void {
    this.#done = true;
    this.#socket.off("readable", this.#onReadable);
    this.#socket.off("end", this.#onClose);
    this.#socket.off("close", this.#onClose);
    this.#socket.off("error", this.#onError);
    // Until its next user listens, an error must not end the process; "close" follows and is the one to act on.
    this.#socket.on("error", () => {});
  }

  #read(): void {
    while (!this.#done && this.#reader !== undefined) {
      const available = Math.min(this.#reader.missing, this.#socket.readableLength);
      // Reading nothing keeps "readable" coming, and "end".
      const bytes = this.#socket.read(available) as Buffer | null;
      if (bytes === null || available === 0) return;
      this.heard = true;
      try {
        const frame = this.#reader.add(bytes);
        if (frame === undefined) continue;
        this.#reader = undefined;
        this.#then!(frame);
      } catch (error) {
        return this.#fail(error as Error);
      }
    }
  }

  #fail(error: Error | undefined): void {
    if (this.#done) return;
    this.release();
    this.#events.failed(error);
  }
}

/** What ties a handshake to the TLS session that carries it. */
export function bindingOf(socket: Socket): Buffer {
  const secured = socket as Partial<TLSSocket>;
  if (secured.exportKeyingMaterial === undefined) return Buffer.alloc(0);
  return secured.exportKeyingMaterial(32, "EXPORTER-mobula-handshake", Buffer.alloc(0));
}
