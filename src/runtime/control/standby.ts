/**
 * A control that waits to lead. It keeps its port, so that nobody else takes it, and is connected with the one that leads, which tells
 * all nodes where to look when it is gone. Whether it may lead is between it and the store, and no matter of connections.
 */
import type { Socket } from "node:net";
import { dial, formatAddress, HeldPort, parseAddress } from "../network/index.ts";
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

/** Where the control is that leads now, as the store knows; undefined when nobody does. */
export async function leaderAddress(store: Pick<ControlStore, "leader">): Promise<Address | undefined> {
  const text = /^control at (\S+), process/.exec((await store.leader())?.holder ?? "")?.[1];
  return text === undefined ? undefined : parseAddress(text);
}

export class Standby {
  readonly #options: StandbyOptions;
  readonly #port: HeldPort;
  readonly #timer: NodeJS.Timeout;
  #socket: Socket | undefined;
  #looking = false;
  #over = false;

  /** Rejects when the port is taken. */
  static async wait(options: StandbyOptions): Promise<Standby> {
    return new Standby(options, await HeldPort.take(options));
  }

  private constructor(options: StandbyOptions, port: HeldPort) {
    this.#options = options;
    this.#port = port;
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
    void this.#look();
  }

  get address(): Address {
    return this.#port.address;
  }

  /** It leads now: the port is free for it. */
  async end(): Promise<void> {
    this.#over = true;
    clearInterval(this.#timer);
    this.#socket?.destroy();
    await this.#port.release();
  }

  async #look(): Promise<void> {
    if (this.#looking || this.#over || this.#socket !== undefined) return;
    this.#looking = true;
    try {
      const address = await leaderAddress(this.#options.store);
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
