/**
 * The connections by which other nodes get objects from this one. One object at a time on each; the next frame goes out when the kernel has
 * taken the one before, so that a slow reader costs one frame and nobody waits for it but itself.
 */
import type { NodeId, ObjectId } from "../../protocol/ids.ts";
import type { Authenticated, Caller } from "../network/index.ts";
import { BadFrame, DATA_MAX, FLAG, KIND, TEXT_MAX, encodeHead } from "./frames.ts";
import type { Head, Kind } from "./frames.ts";
import { Reading } from "./reading.ts";

/** The bytes that one request gets. */
export interface Served {
  readonly size: number;
  readonly origin: string;
  /** So many bytes are here by now. */
  available(): number;
  read(at: number, length: number): Promise<Uint8Array> | Uint8Array;
  close(): void;
}

export interface ServingEvents {
  /** Answered by `start`, `redirect` or `refuse`, then or later. */
  request(serve: number, to: NodeId, id: ObjectId, from: number, insist: boolean): void;
  /** It has been sent, or the one who asked is gone. */
  closed(serve: number): void;
}

export interface ServingStatistics {
  readonly connections: number;
  /** Bytes of objects that have been sent. */
  readonly sentBytes: number;
}

interface Serve {
  readonly line: Inbound;
  readonly from: number;
  readonly checked: boolean;
  served: Served | undefined;
  wake: (() => void) | undefined;
}

export class Serving {
  readonly #events: ServingEvents;
  readonly #checksums: (connection: Authenticated) => boolean;
  readonly #lines = new Set<Inbound>();
  readonly #serves = new Map<number, Serve>();
  #number = 0;
  #sent = 0;

  constructor(events: ServingEvents, checksums: (connection: Authenticated) => boolean) {
    this.#events = events;
    this.#checksums = checksums;
  }

  accept(connection: Caller): void {
    const line = new Inbound(connection, {
      asked: (head, id) => this.#asked(line, head, id),
      closed: () => {
        this.#lines.delete(line);
        if (line.serve !== undefined) this.#end(line.serve);
      },
    });
    this.#lines.add(line);
  }

  start(serve: number, served: Served): void {
    const entry = this.#serves.get(serve);
    if (entry === undefined) return served.close();
    entry.served = served;
    void this.#send(serve, entry, served);
  }

  /** More of it is here. */
  more(serve: number): void {
    this.#serves.get(serve)?.wake?.();
  }

  redirect(serve: number, nodes: readonly NodeId[]): void {
    // More than enough are named by a few.
    this.#answer(serve, KIND.redirect, nodes.slice(0, 64).join(","));
  }

  /** One that has begun is cut: what has come of it is good, and its reader goes on elsewhere. */
  refuse(serve: number, reason: string): void {
    const entry = this.#serves.get(serve);
    if (entry?.served === undefined) return this.#answer(serve, KIND.refuse, reason.slice(0, 1000));
    entry.line.cut();
  }

  nodeLost(node: NodeId): void {
    for (const line of this.#lines) if (line.node === node) line.cut();
  }

  statistics(): ServingStatistics {
    return { connections: this.#lines.size, sentBytes: this.#sent };
  }

  close(): void {
    for (const line of this.#lines) line.cut();
  }

  #asked(line: Inbound, head: Head, id: ObjectId): void {
    const serve = ++this.#number;
    const checked = (head.flags & FLAG.checksums) !== 0 || this.#checksums(line.connection);
    this.#serves.set(serve, { line, from: head.at, checked, served: undefined, wake: undefined });
    line.serve = serve;
    this.#events.request(serve, line.node, id, head.at, (head.flags & FLAG.insist) !== 0);
  }

  #answer(serve: number, kind: Kind, text: string): void {
    const entry = this.#serves.get(serve);
    if (entry === undefined) return;
    this.#end(serve);
    void entry.line.send(kind, 0, Buffer.from(text), true);
  }

  async #send(serve: number, entry: Serve, served: Served): Promise<void> {
    const { line, checked } = entry;
    try {
      let at = entry.from;
      await line.send(KIND.begin, served.size, Buffer.from(served.origin), true);
      while (at < served.size && line.open) {
        const upTo = Math.min(served.available(), at + DATA_MAX);
        if (upTo <= at) {
          await new Promise<void>((resolve) => (entry.wake = resolve));
          continue;
        }
        const bytes = served.read(at, upTo - at);
        await line.send(KIND.data, at, bytes instanceof Uint8Array ? bytes : await bytes, checked);
        this.#sent += upTo - at;
        at = upTo;
      }
      this.#end(serve);
    } catch (error) {
      // Its file cannot be read, say: the other node hears why, and looks elsewhere.
      this.#end(serve);
      void line.send(KIND.refuse, 0, Buffer.from(`it cannot be read there: ${(error as Error).message}`.slice(0, 1000)), true);
    }
  }

  #end(serve: number): void {
    const entry = this.#serves.get(serve);
    if (entry === undefined) return;
    this.#serves.delete(serve);
    if (entry.line.serve === serve) entry.line.serve = undefined;
    entry.served?.close();
    entry.wake?.();
    this.#events.closed(serve);
  }
}

interface InboundEvents {
  asked(head: Head, id: ObjectId): void;
  closed(): void;
}

/** One connection that another node has opened. */
class Inbound {
  readonly connection: Authenticated;
  readonly node: NodeId;
  /** What it gets now. */
  serve: number | undefined;
  readonly #events: InboundEvents;
  readonly #reading: Reading;
  #over = false;

  constructor(connection: Caller, events: InboundEvents) {
    this.connection = connection;
    this.node = connection.peer.id as NodeId;
    this.#events = events;
    this.#reading = new Reading({
      place: (head) => {
        this.#checkDue(head);
        return new Uint8Array(head.length);
      },
      frame: (head, payload) => {
        this.#checkDue(head);
        if (payload.byteLength === 0) throw new BadFrame("it names no object");
        this.#events.asked(head, Buffer.from(payload).toString() as ObjectId);
      },
      ended: (error) => {
        this.#over = true;
        if (error instanceof BadFrame) connection.refuse(error.message);
        this.#events.closed();
      },
    });
    this.#reading.attach(connection.socket, false);
  }

  get open(): boolean {
    return !this.#over;
  }

  cut(): void {
    this.#reading.end(undefined);
  }

  /** Resolves when the kernel has the bytes, or the connection is gone. */
  send(kind: Kind, at: number, payload: Uint8Array, checked: boolean): Promise<void> {
    if (this.#over) return Promise.resolve();
    const { socket } = this.connection;
    return new Promise((resolve) => {
      socket.cork();
      socket.write(encodeHead({ kind, flags: 0, at }, payload, checked));
      socket.write(payload, () => resolve());
      socket.uncork();
    });
  }

  #checkDue(head: Head): void {
    const due = head.kind === KIND.request && this.serve === undefined && head.length <= 256;
    if (!due) throw new BadFrame(`it sent a frame that was not due (at most ${TEXT_MAX} bytes of text)`);
  }
}
