/** Length-prefixed frames of [name, body] over a socket, for the store's tests. */
import type { Socket } from "node:net";
import v8 from "node:v8";

export class Frames {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket, onFrame: (name: string, body: Record<string, unknown>) => void) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
      while (this.#rest.length >= 4) {
        const end = 4 + this.#rest.readUInt32LE(0);
        if (this.#rest.length < end) break;
        const [name, body] = v8.deserialize(this.#rest.subarray(4, end)) as [string, Record<string, unknown>];
        this.#rest = this.#rest.subarray(end);
        onFrame(name, body);
      }
    });
  }

  send(name: string, body: object): void {
    if (this.#socket.destroyed) return;
    const data = v8.serialize([name, body]);
    const head = Buffer.alloc(4);
    head.writeUInt32LE(data.length);
    this.#socket.write(Buffer.concat([head, data]));
  }
}
