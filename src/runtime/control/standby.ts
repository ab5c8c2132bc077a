/**
 * A control that waits to lead. It keeps its port, so that nobody else takes it, and is connected with the one that leads, which tells
 * all nodes where to look when it is gone. Whether it may lead is between it and the store, and no matter of connections.
 */
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { dial, formatAddress, parseAddress } from "../network/index.ts";
import type { Address, Credential, TlsChoice } from "../network/index.ts";
import type { ControlStore } from "../stores/index.ts";

/** The purpose of such a connection. Who opens one has its address as its id. */
export const STANDBY = "standby";
/** How often it looks who leads, while it is connected with nobody. */
const LOOK_MS = 500;

export interface StandbyOptions {
  /** Only asked who leads. */
  readonly store: Pick<ControlStore, "leader">;
  readonly host: string;
  readonly port: number;
  readonly clusterId: string;
  readonly credentials: Credential;
  readonly tls?: TlsChoice;
}

/** How a leader describes itself to its store, for people and for standbys. */
export const holderOf = (address: Address): string => `control at ${formatAddress(address)}, process ${process.pid}`;
const addressIn = (holder: string): Address | undefined => {
  const text = /^control at (\S+), process/.exec(holder)?.[1];
  return text === undefined ? undefined : parseAddress(text);
};

export class Standby {
  readonly address: Address;
  readonly #options: StandbyOptions;
  readonly #server: Server;
  readonly #timer: NodeJS.Timeout;
  #socket: Socket | undefined;
  #looking = false;
  #over = false;

  /** Rejects when the port is taken. */
  static async wait(options: StandbyOptions): Promise<Standby> {
    // Whoever calls before it leads is turned away, and tries the next address.
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port, options.host, resolve);
    });
    return new Standby(options, server);
  }

  private constructor(options: StandbyOptions, server: Server) {
    this.#options = options;
    this.#server = server;
    this.address = { host: options.host, port: (server.address() as AddressInfo).port };
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
    void this.#look();
  }

  /** It leads now: the port is free for it. */
  async end(): Promise<void> {
    this.#over = true;
    clearInterval(this.#timer);
    this.#socket?.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #look(): Promise<void> {
    if (this.#looking || this.#over || this.#socket !== undefined) return;
    this.#looking = true;
    try {
      const leader = await this.#options.store.leader();
      const address = leader === undefined ? undefined : addressIn(leader.holder);
      if (address !== undefined) await this.#connect(address);
    } catch {
      // Nobody leads, or the store or the leader is out of reach: it looks again.
    } finally {
      this.#looking = false;
    }
  }

  async #connect(to: Address): Promise<void> {
    const { clusterId, credentials, tls } = this.#options;
    const self = { role: "control" as const, id: formatAddress(this.address), incarnation: 0 };
    const secure = tls === undefined ? {} : { tls };
    const { socket } = await dial({ ...to, self, credentials, purpose: STANDBY, expect: { clusterId }, ...secure });
    if (this.#over) return void socket.destroy();
    this.#socket = socket;
    socket.on("error", () => {});
    socket.once("close", () => (this.#socket = undefined));
    socket.resume();
  }
}
