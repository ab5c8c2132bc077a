/**
 * One connection to this daemon: from the moment it is open until it is closed, with who is at the other end once that
 * has been said. What a peer may send follows from its role.
 */
import type { Socket } from "node:net";
import { definitions } from "../../protocol/messages.ts";
import type { Body, MessageName } from "../../protocol/messages.ts";
import type { JobId, ProcessId } from "../../protocol/ids.ts";
import { Connection } from "../transport/connection.ts";
import type { Hello, Sender } from "./handlers.ts";

export interface PeerEvents {
  /** The first message; false sends the peer away. */
  hello(name: Hello, body: Body<Hello>): boolean;
  message(name: MessageName, body: never): void;
  closed(): void;
}

export class Peer implements Sender {
  readonly connection: Connection;
  readonly #events: PeerEvents;
  readonly #timer: NodeJS.Timeout;
  #id: ProcessId | undefined;
  #role: "driver" | "worker" | undefined;
  #wantsLogs = false;
  #jobId: JobId | undefined;

  constructor(socket: Socket, events: PeerEvents, helloMs: number) {
    this.#events = events;
    this.connection = new Connection(socket, {
      message: (name, body) => this.#message(name, body),
      closed: () => {
        clearTimeout(this.#timer);
        events.closed();
      },
    });
    this.#timer = setTimeout(() => this.connection.destroy(), helloMs);
    this.#timer.unref();
  }

  /** Only to be asked once it has said hello. */
  get id(): ProcessId {
    return this.#id!;
  }

  /** Undefined until it has said hello, and been welcome. */
  get role(): "driver" | "worker" | undefined {
    return this.#role;
  }

  /** Of a driver. */
  get jobId(): JobId | undefined {
    return this.#jobId;
  }

  get wantsLogs(): boolean {
    return this.#wantsLogs;
  }

  #message(name: MessageName, body: never): void {
    if (this.#role === undefined) return this.#hello(name, body);
    const { from, to } = definitions[name];
    const hello = name === "driverHello" || name === "workerHello";
    const allowed = to === "node" && !hello && (from === "owner" || (from === "worker" && this.#role === "worker"));
    if (allowed) this.#events.message(name, body);
    else this.connection.destroy();
  }

  #hello(name: MessageName, body: never): void {
    clearTimeout(this.#timer);
    if (name !== "driverHello" && name !== "workerHello") return this.connection.destroy();
    const hello = body as Body<Hello>;
    this.#id = hello.processId;
    this.#role = name === "driverHello" ? "driver" : "worker";
    if (name === "driverHello") this.#jobId = (body as Body<"driverHello">).jobId;
    this.#wantsLogs = name === "driverHello" && (body as Body<"driverHello">).logToDriver;
    if (this.#events.hello(name, hello)) return;
    this.#role = undefined;
    this.connection.destroy();
  }
}
