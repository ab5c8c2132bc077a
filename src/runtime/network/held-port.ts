/**
 * A port that a process keeps before it serves there: nobody else takes it, others can be told of it already, and whoever calls is turned
 * away at once, and tries the next address.
 */
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import type { Address } from "./address.ts";
import { cannotListen } from "./listen.ts";

export class HeldPort {
  readonly address: Address;
  readonly #server: Server;

  /** Port 0 picks a free one. Rejects with InvalidOptionError when it cannot be had. */
  static async take({ host, port }: Address): Promise<HeldPort> {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error) => reject(cannotListen(host, port, error)));
      server.listen(port, host, resolve);
    });
    return new HeldPort(server, host);
  }

  private constructor(server: Server, host: string) {
    this.#server = server;
    this.address = { host, port: (server.address() as AddressInfo).port };
  }

  /** Resolves when it is free for this process to serve there. */
  async release(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
