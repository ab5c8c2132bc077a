/**
 * The connections by which this node gets objects: opened when they are needed, one object at a time on each, used again, and closed when
 * nobody used them for a while. How many are open at a time follows from how many objects the machine fetches at a time.
 */
import type { NodeId, ObjectId } from "../../protocol/ids.ts";
import type { Authenticated, ByteTaker } from "../network/index.ts";
import { BadFrame, FLAG, KIND, encodeHead } from "./frames.ts";
import type { Head } from "./frames.ts";
import { Reading } from "./reading.ts";

const IDLE_MS = 30_000;
const IDLE_MAX = 64;

/** What becomes of one request. After `redirected`, `failed`, or the last byte nothing more comes. */
export interface FetchEvents {
  began(size: number, origin: string): void;
  /** Where these bytes go, at most 1 MiB. */
  place(at: number, length: number): Uint8Array;
  /** They are there, and right. Nothing more is read before a promise is fulfilled. */
  data(at: number, bytes: Uint8Array): void | Promise<void>;
  redirected(nodes: NodeId[]): void;
  failed(reason: string): void;
}

export interface LineOptions {
  /** Opens a connection; rejects where there is none to be had. */
  dial(node: NodeId, into: ByteTaker): Promise<Authenticated>;
  /** Whether checksums are asked for. */
  checksums(connection: Authenticated): boolean;
}

interface Request {
  readonly id: ObjectId;
  readonly from: number;
  readonly insist: boolean;
  readonly events: FetchEvents;
  size: number | undefined;
  at: number;
}

export class Lines {
  readonly #options: LineOptions;
  readonly #idle = new Map<NodeId, Line[]>();
  readonly #all = new Set<Line>();
  readonly #byAttempt = new Map<number, Line>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LineOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#all.size;
  }

  fetch(attempt: number, node: NodeId, id: ObjectId, from: number, insist: boolean, events: FetchEvents): void {
    const request: Request = { id, from, insist, events, size: undefined, at: from };
    const line = this.#idle.get(node)?.pop() ?? this.#open(node);
    this.#byAttempt.set(attempt, line);
    line.ask(request, () => {
      this.#byAttempt.delete(attempt);
      if (line.open) this.#rest(line);
    });
  }

  /** Nothing more of it is read when this returns. */
  cancel(attempt: number): void {
    const line = this.#byAttempt.get(attempt);
    this.#byAttempt.delete(attempt);
    line?.cut();
  }

  nodeLost(node: NodeId): void {
    for (const line of this.#all) if (line.node === node && line.idle) line.cut();
  }

  close(): void {
    clearInterval(this.#timer);
    for (const line of this.#all) line.cut();
  }

  #open(node: NodeId): Line {
    const line = new Line(node, this.#options, () => {
      this.#all.delete(line);
      const idle = this.#idle.get(node)?.filter((other) => other !== line);
      if (idle !== undefined && idle.length > 0) this.#idle.set(node, idle);
      else this.#idle.delete(node);
    });
    this.#all.add(line);
    return line;
  }

  #rest(line: Line): void {
    const others = this.#idle.get(line.node);
    if (others) others.push(line);
    else this.#idle.set(line.node, [line]);
    const idle = [...this.#all].filter((other) => other.idle);
    if (idle.length > IDLE_MAX) idle.sort((a, b) => a.usedAt - b.usedAt)[0]!.cut();
    this.#timer ??= setInterval(() => this.#sweep(), IDLE_MS).unref();
  }

  #sweep(): void {
    for (const line of this.#all) if (line.idle && performance.now() - line.usedAt >= IDLE_MS) line.cut();
    if (this.#all.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

class Line {
  readonly node: NodeId;
  usedAt = performance.now();
  readonly #reading: Reading;
  readonly #closed: () => void;
  #connection: Authenticated | undefined;
  /** Data without is refused. */
  #checksums = false;
  #request: Request | undefined;
  #done: (() => void) | undefined;
  #over = false;

  constructor(node: NodeId, options: LineOptions, closed: () => void) {
    this.node = node;
    this.#closed = closed;
    this.#reading = new Reading({
      place: (head) => this.#place(head),
      frame: (head, payload) => this.#frame(head, payload),
      ended: (error) => this.#ended(error?.message ?? "the connection broke"),
    });
    options.dial(node, this.#reading).then(
      (connection) => {
        if (this.#over) return void connection.socket.destroy();
        this.#connection = connection;
        this.#checksums = options.checksums(connection);
        this.#reading.attach(connection.socket, !connection.secure);
        this.#send();
      },
      (error: unknown) => this.#reading.end(error as Error),
    );
  }

  get open(): boolean {
    return !this.#over;
  }

  get idle(): boolean {
    return !this.#over && this.#request === undefined && this.#connection !== undefined;
  }

  ask(request: Request, done: () => void): void {
    this.#request = request;
    this.#done = done;
    this.#send();
  }

  /** Whoever asked hears nothing more. */
  cut(): void {
    this.#request = undefined;
    this.#done = undefined;
    this.#reading.end(undefined);
  }

  #send(): void {
    const connection = this.#connection;
    const request = this.#request;
    if (connection === undefined || request === undefined) return;
    const flags = (request.insist ? FLAG.insist : 0) | (this.#checksums ? FLAG.checksums : 0);
    const payload = Buffer.from(request.id);
    connection.socket.write(Buffer.concat([encodeHead({ kind: KIND.request, flags, at: request.from }, payload, true), payload]));
  }

  #place(head: Head): Uint8Array {
    const request = this.#request;
    if (request === undefined) throw new BadFrame("it spoke without being asked");
    if (head.kind !== KIND.data) return new Uint8Array(head.length);
    if (request.size === undefined || head.at !== request.at || head.at + head.length > request.size) {
      throw new BadFrame("it sent bytes that were not due");
    }
    if (this.#checksums && (head.flags & FLAG.checked) === 0) throw new BadFrame("it sent bytes without a checksum");
    return request.events.place(head.at, head.length);
  }

  #frame(head: Head, payload: Uint8Array): void | Promise<void> {
    const request = this.#request;
    if (request === undefined) throw new BadFrame("it spoke without being asked");
    const { events } = request;
    if (head.kind === KIND.data) {
      if (payload.byteLength === 0) throw new BadFrame("it sent no bytes");
      request.at += payload.byteLength;
      if (request.at === request.size) this.#finish();
      return events.data(head.at, payload);
    }
    const text = Buffer.from(payload).toString();
    if (head.kind === KIND.begin && request.size === undefined && head.at >= request.from && text !== "") {
      request.size = head.at;
      if (request.at === request.size) this.#finish();
      events.began(head.at, text);
    } else if (head.kind === KIND.redirect && request.size === undefined && /^[0-9a-f]{12}(,[0-9a-f]{12})*$/.test(text)) {
      this.#finish();
      events.redirected(text.split(",") as NodeId[]);
    } else if (head.kind === KIND.refuse) {
      this.#finish();
      events.failed(text.slice(0, 1000));
    } else throw new BadFrame("it sent a frame that was not due");
  }

  #finish(): void {
    const done = this.#done;
    this.#request = undefined;
    this.#done = undefined;
    this.usedAt = performance.now();
    done?.();
  }

  #ended(reason: string): void {
    this.#over = true;
    this.#closed();
    const request = this.#request;
    if (request === undefined) return;
    this.#finish();
    request.events.failed(reason);
  }
}
