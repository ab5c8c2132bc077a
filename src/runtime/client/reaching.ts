/**
 * An owner's attempt to reach a worker of another node: dials it, again and again for some seconds, since a worker that cannot be
 * reached for a moment is not dead. It ends by a proven socket, by the reason why there is none, or by being given up.
 */
import { existsSync } from "node:fs";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { ActorClient } from "../../core/owner/actor-client.ts";
import type { Lease } from "../../core/owner/leases.ts";
import { ConnectionError } from "../../errors/index.ts";
import type { ConnectionReason } from "../../errors/index.ts";
import type { ProcessId } from "../../protocol/ids.ts";
import type { DeathReason, Reach, WorkerAddress } from "../../protocol/messages.ts";

/** All attempts together. Milliseconds. */
export const REACH_MS = 5_000;
const FIRST_PAUSE_MS = 50;
/** What another attempt would only say again. */
const FINAL: ReadonlySet<ConnectionReason | undefined> = new Set(["token", "cluster", "version", "peer"]);

export interface ReachingEvents {
  /** To be taken at once. */
  reached(socket: Socket): void;
  failed(reason: DeathReason): void;
}

export class Reaching {
  readonly worker: WorkerAddress;
  /** Who waits for the way. */
  readonly waiting = new Set<Lease | ActorClient>();
  readonly #self: ProcessId;
  readonly #stop = new AbortController();

  constructor(worker: WorkerAddress, self: ProcessId, events: ReachingEvents) {
    this.worker = worker;
    this.#self = self;
    void this.#run(events);
  }

  /** Nobody wants it any more: no event comes. */
  giveUp(): void {
    this.#stop.abort();
    this.waiting.clear();
  }

  async #run(events: ReachingEvents): Promise<void> {
    const { processId, pid, reach } = this.worker;
    const outcome = await this.#dial(reach).catch((error: Error) => error);
    if (outcome instanceof Error) {
      if (this.#stop.signal.aborted) return;
      const message = `its worker could not be reached: ${outcome.message}`;
      events.failed({ cause: "unreachable", message, processId, pid });
    } else if (this.#stop.signal.aborted) outcome.destroy();
    else events.reached(outcome);
  }

  async #dial(reach: Reach | undefined): Promise<Socket> {
    const { signal } = this.#stop;
    const end = performance.now() + REACH_MS;
    for (let wait = FIRST_PAUSE_MS; ; wait *= 2) {
      try {
        return await this.#attempt(reach, Math.max(wait, end - performance.now()));
      } catch (error) {
        const over = error instanceof ConnectionError && FINAL.has(error.reason);
        if (over || signal.aborted || performance.now() + wait >= end) throw error;
      }
      await pause(wait, undefined, { signal, ref: false });
    }
  }

  /** The network's part of the engine is loaded here: on one machine nobody needs it. */
  async #attempt(reach: Reach | undefined, timeoutMs: number): Promise<Socket> {
    const { processId, socket } = this.worker;
    // A node of the same machine and user: faster, and the folder's mode guards it.
    const near = existsSync(socket) ? await connectLocally(socket).catch((error: Error) => error) : undefined;
    if (near !== undefined && !(near instanceof Error)) return near;
    if (reach === undefined) throw near ?? new ConnectionError(`It is on no network, and ${socket} is not on this machine.`);
    const [{ dial }, { Secret, ticketCredential }] = await Promise.all([import("../network/dial.ts"), import("../network/secret.ts")]);
    const { host, port, ticket, tls } = reach;
    const opened = await dial({
      host,
      port,
      credentials: ticketCredential(new Secret(ticket), processId),
      self: { role: "owner", id: this.#self, incarnation: 0 },
      purpose: "owner",
      expect: { role: "worker", id: processId },
      ...(tls ? { tls: "credential" } : {}),
      timeoutMs,
      signal: this.#stop.signal,
    });
    return opened.socket;
  }
}

function connectLocally(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}
