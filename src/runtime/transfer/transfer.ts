/**
 * Objects between nodes: joins the machines (src/core/transfer) with the store of this node, the connections, and the clock. It knows
 * other nodes by `addressOf`, and where objects are by what their homes say: both are its user's.
 */
import { PullMachine } from "../../core/transfer/pulls.ts";
import { ServeMachine } from "../../core/transfer/serves.ts";
import type { Holding, PullLimits, PullPriority, PullStatistics, ServeLimits } from "../../core/transfer/types.ts";
import type { Refusal } from "../../core/store/types.ts";
import type { IncomingCopy, StoreService } from "../../memory/service.ts";
import type { NodeId, ObjectId } from "../../protocol/ids.ts";
import { Alarm, dial, isLoopback } from "../network/index.ts";
import type { Address, Authenticated, Caller, Credential, Self, TlsChoice } from "../network/index.ts";
import { Lines } from "./lines.ts";
import { Serving } from "./serving.ts";
import type { ServingStatistics } from "./serving.ts";

/** The purpose of its connections: whoever listens gives those that have it to `accept`. */
export const BULK = "bulk";
/** So long a copy waits for space. */
const SPACE_WAIT_MS = 30_000;
/** Who waits, as far as the store knows. */
const STORE = "store";

export interface TransferOptions {
  readonly store: StoreService;
  readonly self: Self & { readonly id: NodeId };
  readonly clusterId: string;
  readonly credentials: Credential;
  readonly tls?: TlsChoice;
  /** Undefined: there is no such node (any more). */
  readonly addressOf: (node: NodeId) => Address | undefined;
  /** Ask the home of the object where it is: `located` answers, once it is somewhere or never will be. */
  readonly locate: (id: ObjectId) => void;
  /** To the home of the object: this node has a copy of it, or no longer any. */
  readonly announce: (id: ObjectId, there: boolean) => void;
  /**
   * Of data; everything else has them always. "wire": unless both ends are on this machine, where there is no wire, or TLS
   * checks what comes.
   */
  readonly checksums?: "always" | "wire";
  readonly spaceWaitMs?: number;
  readonly limits?: Partial<PullLimits>;
  readonly serveLimits?: Partial<ServeLimits>;
}

export interface TransferStatistics extends PullStatistics, ServingStatistics {
  /** Connections by which this node gets objects. */
  readonly lines: number;
  readonly receivedBytes: number;
}

/** An object on its way here, and those who get it from here meanwhile. */
interface Incoming {
  readonly id: ObjectId;
  copy: IncomingCopy | undefined;
  withdraw: (() => void) | undefined;
  received: number;
  origin: string;
  /** The pull itself, and everyone who is sent these bytes. */
  users: number;
}

export class Transfer {
  readonly #options: TransferOptions;
  readonly #pulls: PullMachine;
  readonly #serves: ServeMachine;
  readonly #lines: Lines;
  readonly #serving: Serving;
  readonly #alarm: Alarm;
  readonly #incoming = new Map<number, Incoming>();
  /** Pulls whose bytes are still coming, by object. */
  readonly #arriving = new Map<ObjectId, number>();
  readonly #requests = new Map<number, ObjectId>();
  #received = 0;
  #closed = false;

  constructor(options: TransferOptions) {
    this.#options = options;
    const { store, self } = options;
    const checksums = (connection: Authenticated): boolean => this.#needsChecksums(connection);
    this.#lines = new Lines({ dial: (node, into) => this.#dial(node, into), checksums });
    this.#serving = new Serving(
      {
        request: (serve, to, id, from, insist) => {
          this.#requests.set(serve, id);
          this.#serves.request(serve, to, id, from, insist, this.#holding(id));
        },
        closed: (serve) => {
          this.#requests.delete(serve);
          this.#serves.closed(serve);
        },
      },
      checksums,
    );
    this.#serves = new ServeMachine(
      {
        start: (serve) => this.#start(serve),
        redirect: (serve, nodes) => this.#serving.redirect(serve, nodes),
        refuse: (serve, reason) => this.#serving.refuse(serve, reason),
      },
      options.serveLimits,
    );
    const limits = { bytesMax: Math.min(512 * 2 ** 20, store.stats().capacity / 2), ...options.limits };
    this.#pulls = new PullMachine(self.id, this.#port(), limits);
    this.#alarm = new Alarm(
      (now) => this.#pulls.tick(now),
      () => this.#pulls.nextDeadline(),
    );
    store.attach({
      missing: (id) => this.want(id, STORE, "get"),
      unwanted: (id) => this.unwant(id, STORE),
      evicted: (id) => {
        if (!this.#closed) options.announce(id, false);
      },
    });
  }

  /** A copy of this object is wanted on this node; `wanter` names for whom. It may be here already: then nothing happens. */
  want(id: ObjectId, wanter: string, priority: PullPriority): void {
    if (this.#closed) return this.#options.store.notFound(id, "the node is shutting down");
    if (this.#options.store.sizeOf(id) === undefined) this.#run(() => this.#pulls.want(id, wanter, priority));
  }

  unwant(id: ObjectId, wanter: string): void {
    this.#run((now) => this.#pulls.unwant(id, wanter, now));
  }

  /** The answer of the object's home. */
  located(id: ObjectId, size: number, nodes: readonly NodeId[], failure?: { readonly message: string }): void {
    this.#run((now) => this.#pulls.located(id, size, nodes, failure?.message, now));
  }

  /** A node is gone for good. */
  nodeLost(node: NodeId): void {
    this.#run((now) => this.#pulls.nodeLost(node, now));
    this.#lines.nodeLost(node);
    this.#serving.nodeLost(node);
  }

  /** A connection with the purpose `bulk`, from another node of the cluster. */
  accept(connection: Caller): void {
    if (this.#closed) return void connection.socket.destroy();
    this.#serving.accept(connection);
  }

  statistics(): TransferStatistics {
    return { ...this.#pulls.stats(), ...this.#serving.statistics(), lines: this.#lines.size, receivedBytes: this.#received };
  }

  check(): void {
    this.#pulls.check();
    this.#serves.check();
  }

  /** Before the store is closed. What is waited for is told that it does not come. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#alarm.stop();
    this.#lines.close();
    this.#serving.close();
    for (const [number, { id, copy, withdraw }] of this.#incoming) {
      withdraw?.();
      this.#incoming.delete(number);
      copy?.close();
      this.#options.store.notFound(id, "the node is shutting down");
    }
  }

  // ── the machine that fetches ──

  #run(event: (now: number) => void): void {
    if (this.#closed) return;
    event(performance.now());
    this.#alarm.arm();
  }

  #port(): ConstructorParameters<typeof PullMachine>[1] {
    const { store } = this.#options;
    // Whoever is called may answer at once: after the machine's event, then.
    const later = (act: () => void): void => queueMicrotask(() => !this.#closed && act());
    return {
      locate: (id) => later(() => this.#options.locate(id)),
      allocate: (pull, id, size) => this.#allocate(pull, id, size),
      release: (pull) => this.#release(pull),
      fetch: (attempt, pull, node, id, from, insist) => this.#fetch(attempt, pull, node, id, from, insist),
      cancel: (attempt) => this.#lines.cancel(attempt),
      restart: (pull) => {
        const incoming = this.#incoming.get(pull)!;
        incoming.received = 0;
        this.#serves.pullEnded(incoming.id, false);
      },
      seal: (pull, id, origin) => void this.#seal(pull, id, origin),
      notFound: (id, reason) => later(() => store.notFound(id, reason)),
      chance: () => Math.random(),
    };
  }

  #allocate(pull: number, id: ObjectId, size: number): void {
    const incoming: Incoming = { id, copy: undefined, withdraw: undefined, received: 0, origin: "", users: 1 };
    this.#incoming.set(pull, incoming);
    const waitMs = this.#options.spaceWaitMs ?? SPACE_WAIT_MS;
    incoming.withdraw = this.#options.store.allocateCopy(size, waitMs, (result) => {
      incoming.withdraw = undefined;
      if (!("buffer" in result)) return this.#run((now) => this.#pulls.refused(pull, noSpace(size, waitMs, result), now));
      if (this.#incoming.get(pull) !== incoming || this.#closed) return result.close();
      incoming.copy = result;
      this.#arriving.set(id, pull);
      this.#run((now) => this.#pulls.granted(pull, now));
    });
  }

  #release(pull: number): void {
    const incoming = this.#incoming.get(pull)!;
    this.#incoming.delete(pull);
    if (this.#arriving.get(incoming.id) === pull) this.#arriving.delete(incoming.id);
    incoming.withdraw?.();
    // Those who get it from here are cut before the space is another's.
    this.#serves.pullEnded(incoming.id, false);
    incoming.copy?.close();
  }

  #fetch(attempt: number, pull: number, node: NodeId, id: ObjectId, from: number, insist: boolean): void {
    const incoming = this.#incoming.get(pull)!;
    const copy = incoming.copy!;
    this.#lines.fetch(attempt, node, id, from, insist, {
      began: (size, origin) => {
        incoming.origin = origin;
        this.#run((now) => this.#pulls.began(attempt, size, origin, now));
      },
      place: (at, length) => copy.buffer(at, length),
      data: (at, bytes) => {
        const written = copy.write(at, bytes);
        if (written === undefined) return this.#advanced(attempt, incoming, at + bytes.byteLength, bytes.byteLength);
        return written.then(() => this.#advanced(attempt, incoming, at + bytes.byteLength, bytes.byteLength));
      },
      redirected: (nodes) => this.#run((now) => this.#pulls.redirected(attempt, nodes, now)),
      failed: (reason) => this.#run((now) => this.#pulls.failed(attempt, reason, now)),
    });
  }

  #advanced(attempt: number, incoming: Incoming, upTo: number, length: number): void {
    const { id } = incoming;
    this.#received += length;
    // It was given up while this was being written.
    if (!this.#pulls.isUnderWay(attempt)) return;
    incoming.received = upTo;
    this.#run((now) => this.#pulls.advanced(attempt, upTo, now));
    if (this.#serves.count(id) === 0) return;
    this.#serves.received(id, upTo);
    for (const [serve, other] of this.#requests) if (other === id) this.#serving.more(serve);
  }

  async #seal(pull: number, id: ObjectId, origin: string): Promise<void> {
    const incoming = this.#incoming.get(pull)!;
    let sealed = false;
    try {
      sealed = await incoming.copy!.seal(id, origin);
    } catch (error) {
      this.#options.store.notFound(id, `its copy could not be written: ${(error as Error).message}`);
    }
    if (this.#closed) return;
    this.#incoming.delete(pull);
    if (this.#arriving.get(id) === pull) this.#arriving.delete(id);
    if (sealed) this.#options.announce(id, true);
    this.#serves.pullEnded(id, sealed);
    this.#leave(incoming);
  }

  #leave(incoming: Incoming): void {
    if (--incoming.users === 0) incoming.copy!.close();
  }

  // ── the machine that serves ──

  #holding(id: ObjectId): Holding | undefined {
    if (this.#closed) return undefined;
    // While it is being sealed it is neither whole nor on its way, and is asked for again.
    const source = this.#options.store.sizeOf(id);
    return source === undefined ? this.#pulls.holding(id) : { whole: true, size: source, received: source };
  }

  #start(serve: number): void {
    const id = this.#requests.get(serve)!;
    const { store, self } = this.#options;
    const source = store.openSource(id);
    if (source !== undefined) {
      const origin = source.origin ?? `${self.id}/${source.key}`;
      const { size } = source;
      return this.#serving.start(serve, {
        size,
        origin,
        available: () => size,
        read: (at, length) => source.read(at, length),
        close: () => source.close(),
      });
    }
    const incoming = this.#incoming.get(this.#arriving.get(id) ?? -1);
    const copy = incoming?.copy;
    // Freed since it was asked for.
    if (incoming === undefined || copy === undefined) return this.#refuseGone(serve);
    const reader = copy.source();
    incoming.users++;
    this.#serving.start(serve, {
      size: copy.size,
      origin: incoming.origin,
      available: () => incoming.received,
      read: (at, length) => reader.read(at, length),
      close: () => {
        void reader.close().catch(() => undefined);
        this.#leave(incoming);
      },
    });
  }

  #refuseGone(serve: number): void {
    this.#serves.closed(serve);
    this.#serving.refuse(serve, "it is not there any more");
  }

  // ── connections ──

  async #dial(node: NodeId, into: Parameters<typeof dial>[0]["into"] & object): Promise<Authenticated> {
    const address = this.#options.addressOf(node);
    if (address === undefined) throw new Error("there is no such node any more");
    const { self, clusterId, credentials, tls } = this.#options;
    const expect = { clusterId, role: "node", id: node } as const;
    return await dial({ ...address, self, credentials, purpose: BULK, expect, into, ...(tls === undefined ? {} : { tls }) });
  }

  #needsChecksums({ secure, socket }: Authenticated): boolean {
    if (this.#options.checksums === "always") return true;
    return !secure && !isLoopback(socket.remoteAddress ?? "");
  }
}

function noSpace(size: number, waitMs: number, { reason, capacity, used, pinned, detail }: Refusal): string {
  if (reason === "too-large") return `its ${size} bytes do not fit into the object store of this node, which has ${capacity}`;
  const why = detail === undefined ? "" : `, and spilling failed: ${detail}`;
  const full = `${used} of ${capacity} bytes are used, ${pinned} are being read${why}`;
  return `there was no space for its ${size} bytes within ${waitMs} ms: ${full}`;
}
