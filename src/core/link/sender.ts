/**
 * The sending half of a link: messages in order over connections that break. What is not acknowledged is kept and sent again;
 * a peer that was started anew gets all of it. A pure machine: time and chance are handed in, effects go out through the port.
 *
 * It opens connections itself, numbered from 1, when there is something to say. A new connection begins with `open`, which
 * names the oldest message that is kept; the peer answers with the number of the message that it expects next, and from then on
 * messages follow each other without numbers. Two counts come back: what has arrived (`received`), which says that the peer
 * lives and makes room for more on the way, and what need not be kept any more (`acknowledged`).
 *
 * Not here: bytes and sockets (src/runtime/network), and the receiving half (receiver.ts).
 */

export interface SenderPort<T> {
  /** Open this connection. Answered by `connected` or `disconnected`. */
  dial(connection: number): void;
  /** The first words on it. */
  open(connection: number, base: number): void;
  transmit(connection: number, message: T): void;
  /** The connection is given up; nothing more is heard of it. */
  cut(connection: number): void;
  /** The peer is a new incarnation that knows nothing: `again` messages go to it that the one before may have had. */
  peerRestarted(incarnation: number, again: number): void;
  /** Nothing is sent any more, for good. `kept` were never acknowledged. */
  ended(reason: LinkEnd, kept: number): void;
}

/**
 * `stopped`: by this side. `fenced`: the peer has a newer incarnation of this side, or has given this one up. `lost`: the peer has
 * forgotten what it had received, so the order cannot be kept. `overflow`: more was kept than the limit allows.
 */
export type LinkEnd = "stopped" | "fenced" | "lost" | "overflow";

export interface SenderLimits {
  /** Kept at most, bytes. A message above it ends the link. */
  readonly bytes: number;
  readonly messages: number;
  /** On the way at most, bytes; one message may be longer. */
  readonly window: number;
  /** On the way and nothing comes back for so long: the connection is dead. */
  readonly silenceMs: number;
  /** Without traffic for so long it is closed, until there is something to say. */
  readonly idleMs: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
}

export const senderLimits: SenderLimits = {
  bytes: 64 * 1024 * 1024,
  messages: 1_000_000,
  window: 4 * 1024 * 1024,
  silenceMs: 10_000,
  idleMs: 60_000,
  backoffMinMs: 50,
  backoffMaxMs: 5_000,
};

export type SenderState = "idle" | "dialling" | "opening" | "open" | "waiting" | "ended";

interface Kept<T> {
  readonly message: T;
  readonly size: number;
}

export class LinkSender<T> {
  readonly #port: SenderPort<T>;
  readonly #limits: SenderLimits;
  readonly #random: () => number;
  #state: SenderState = "idle";
  #end: LinkEnd | undefined;
  /** The last connection's number. */
  #connection = 0;
  #peer: number | undefined;
  /** Kept messages by number from `#base` up to `#next`, as a ring of two arrays would be: `#head` of `#kept` are gone. */
  #kept: Kept<T>[] = [];
  #head = 0;
  #base = 0;
  #received = 0;
  #sent = 0;
  #keptBytes = 0;
  #flyingBytes = 0;
  #attempts = 0;
  #retryAt = 0;
  /** The last time that something came back, or that the first byte went out after all had come back. */
  #heardAt = 0;
  #usedAt = 0;

  /** `random`: numbers from 0 to 1, so that many do not come back at the same moment. */
  constructor(port: SenderPort<T>, random: () => number, limits: Partial<SenderLimits> = {}) {
    this.#port = port;
    this.#random = random;
    this.#limits = { ...senderLimits, ...limits };
  }

  get state(): SenderState {
    return this.#state;
  }

  get keptMessages(): number {
    return this.#kept.length - this.#head;
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  get peerIncarnation(): number | undefined {
    return this.#peer;
  }

  /** When `tick` is due; undefined when nothing is. */
  get dueAt(): number | undefined {
    if (this.#state === "waiting") return this.#retryAt;
    if (this.#state === "opening") return this.#heardAt + this.#limits.silenceMs;
    if (this.#state !== "open") return undefined;
    if (this.#sent > this.#received) return this.#heardAt + this.#limits.silenceMs;
    return this.keptMessages === 0 ? this.#usedAt + this.#limits.idleMs : undefined;
  }

  /** False when the link has ended, by this very message if there is no room for it: nothing may be missing in the middle. */
  send(message: T, size: number, now: number): boolean {
    if (this.#state === "ended") return false;
    if (this.#keptBytes + size > this.#limits.bytes || this.keptMessages >= this.#limits.messages) {
      this.#finish("overflow");
      return false;
    }
    this.#kept.push({ message, size });
    this.#keptBytes += size;
    this.#usedAt = now;
    if (this.#state === "idle") this.#dial();
    else if (this.#state === "open") this.#fill(now);
    return true;
  }

  /** The connection is there, and the peer on it is of this incarnation. */
  connected(connection: number, incarnation: number, now: number): void {
    if (connection !== this.#connection || this.#state !== "dialling") return;
    if (this.#peer !== undefined && incarnation < this.#peer) {
      // One from before that still lives: what it would take is lost with it.
      this.#port.cut(connection);
      return this.#retry(now);
    }
    if (this.#peer !== undefined && incarnation > this.#peer) {
      this.#received = this.#base;
      this.#port.peerRestarted(incarnation, this.keptMessages);
    }
    this.#peer = incarnation;
    this.#state = "opening";
    this.#heardAt = now;
    this.#port.open(connection, this.#base);
  }

  /** The peer's answer to `open`: it has everything before `next`, and needs nothing before `acknowledged` again. */
  resumed(connection: number, next: number, acknowledged: number, now: number): void {
    if (connection !== this.#connection || this.#state !== "opening") return;
    if (next < this.#received || next > this.#end_() || acknowledged > next) return this.#finish("lost");
    this.#state = "open";
    this.#received = next;
    this.#sent = next;
    this.#flyingBytes = 0;
    this.#heardAt = now;
    this.#usedAt = now;
    this.#release(acknowledged);
    this.#fill(now);
  }

  /** Counts from the peer. Older ones than known change nothing. */
  acknowledged(connection: number, received: number, acknowledged: number, now: number): void {
    if (connection !== this.#connection || this.#state !== "open") return;
    if (received > this.#sent || acknowledged > received) return this.#finish("lost");
    this.#heardAt = now;
    this.#usedAt = now;
    // Only what arrives shows that a connection is good: one that breaks each time at the same message is not dialled in haste.
    if (received > this.#received) this.#attempts = 0;
    for (; this.#received < received; this.#received++) this.#flyingBytes -= this.#at(this.#received).size;
    this.#release(acknowledged);
    this.#fill(now);
  }

  /** The peer will have nothing of this incarnation of ours. */
  refused(connection: number, reason: "fenced" | "lost"): void {
    if (connection === this.#connection && this.#state === "opening") this.#finish(reason);
  }

  disconnected(connection: number, now: number): void {
    if (connection !== this.#connection) return;
    if (this.#state === "dialling" || this.#state === "opening") this.#retry(now);
    else if (this.#state === "open") {
      if (this.keptMessages === 0) this.#state = "idle";
      else this.#retry(now);
    }
  }

  /** Time has passed. May be called at any time. */
  tick(now: number): void {
    const due = this.dueAt;
    if (due === undefined || now < due) return;
    if (this.#state === "waiting") return this.#dial();
    this.#port.cut(this.#connection);
    if (this.#state === "open" && this.keptMessages === 0) this.#state = "idle";
    else this.#retry(now);
  }

  /** The address has changed, or the peer is known to be back: no waiting. */
  hurry(): void {
    this.#attempts = 0;
    if (this.#state === "waiting") this.#dial();
  }

  /** There are too many connections: this one is closed if nothing is under way on it. */
  rest(): boolean {
    if (this.#state !== "open" || this.keptMessages > 0) return false;
    this.#port.cut(this.#connection);
    this.#state = "idle";
    return true;
  }

  stop(): void {
    if (this.#state !== "ended") this.#finish("stopped");
  }

  get end(): LinkEnd | undefined {
    return this.#end;
  }

  check(): void {
    const fail = (what: string): never => {
      throw new Error(`link sender: ${what} (${this.#state}, ${this.#base}/${this.#received}/${this.#sent}/${this.#end_()})`);
    };
    if (this.#state === "ended") {
      if (this.keptMessages > 0 || this.#keptBytes > 0) fail("it has ended and keeps messages");
      return;
    }
    const kept = this.#kept.slice(this.#head);
    if (kept.reduce((sum, { size }) => sum + size, 0) !== this.#keptBytes) fail("kept bytes are miscounted");
    if (this.#keptBytes > this.#limits.bytes || kept.length > this.#limits.messages) fail("more is kept than allowed");
    if (this.#base > this.#received || this.#received > this.#end_()) fail("counts are out of order");
    if (this.#state === "idle" && kept.length > 0) fail("something is kept and nothing is done");
    if (this.#state !== "open") return;
    if (this.#received > this.#sent || this.#sent > this.#end_()) fail("counts of the connection are out of order");
    const flying = kept.slice(this.#received - this.#base, this.#sent - this.#base).reduce((sum, { size }) => sum + size, 0);
    if (flying !== this.#flyingBytes) fail("bytes on the way are miscounted");
    if (this.#sent === this.#received && this.#sent < this.#end_()) fail("something waits and nothing is on the way");
    if (flying > this.#limits.window && this.#sent - this.#received > 1) fail("more is on the way than the window");
  }

  #end_(): number {
    return this.#base + this.keptMessages;
  }

  #at(number: number): Kept<T> {
    return this.#kept[this.#head + number - this.#base]!;
  }

  #dial(): void {
    this.#state = "dialling";
    this.#port.dial(++this.#connection);
  }

  #retry(now: number): void {
    const { backoffMinMs, backoffMaxMs } = this.#limits;
    const wait = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#attempts++, 20));
    this.#retryAt = now + wait * (0.5 + 0.5 * this.#random());
    this.#state = "waiting";
  }

  #fill(now: number): void {
    const end = this.#end_();
    while (this.#sent < end) {
      const { message, size } = this.#at(this.#sent);
      if (this.#sent > this.#received && this.#flyingBytes + size > this.#limits.window) return;
      if (this.#sent === this.#received) this.#heardAt = now;
      this.#sent++;
      this.#flyingBytes += size;
      this.#port.transmit(this.#connection, message);
    }
  }

  /** Lets go of everything before `upTo`. */
  #release(upTo: number): void {
    for (; this.#base < upTo; this.#base++) {
      this.#keptBytes -= this.#kept[this.#head]!.size;
      this.#kept[this.#head++] = undefined as never;
    }
    if (this.#head > 1024 && this.#head * 2 > this.#kept.length) {
      this.#kept = this.#kept.slice(this.#head);
      this.#head = 0;
    }
  }

  #finish(reason: LinkEnd): void {
    const kept = this.keptMessages;
    if (this.#state === "dialling" || this.#state === "opening" || this.#state === "open") this.#port.cut(this.#connection);
    this.#state = "ended";
    this.#end = reason;
    this.#kept = [];
    this.#head = 0;
    this.#keptBytes = 0;
    this.#port.ended(reason, kept);
  }
}
