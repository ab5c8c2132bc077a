/**
 * The receiving half of a link: what one peer sends, in order and each message once for each pair of incarnations, whatever
 * connections it comes on. A pure machine like sender.ts, which has the protocol.
 *
 * It may put off the acknowledgement of a message until `acknowledge`, for example until what it changed is durable: then a new
 * incarnation of this side gets what this one had not made sure of.
 */

export interface ReceiverPort<T> {
  /** The answer to `open`. */
  resume(connection: number, next: number, acknowledged: number): void;
  refuse(connection: number, reason: "fenced" | "lost"): void;
  acknowledge(connection: number, received: number, acknowledged: number): void;
  /** In order, each once. `number` is for `acknowledge`. */
  deliver(message: T, number: number): void;
  /** The peer has opened another, or is gone for good; nothing more is taken from this one. */
  cut(connection: number): void;
  /** The peer is a new incarnation: nothing more comes from the one before. */
  peerRestarted(incarnation: number): void;
}

export interface ReceiverLimits {
  /** So much has come since the last counts were sent: they go out now. */
  readonly ackMessages: number;
  readonly ackBytes: number;
  /** They go out at the latest after so long. */
  readonly ackMs: number;
}

export const receiverLimits: ReceiverLimits = { ackMessages: 256, ackBytes: 256 * 1024, ackMs: 10 };

export class LinkReceiver<T> {
  readonly #port: ReceiverPort<T>;
  readonly #limits: ReceiverLimits;
  /** Whether a message is acknowledged as soon as it is delivered. */
  readonly #auto: boolean;
  #peer: number | undefined;
  #fenced = false;
  /** The connection that counts, as this side numbers them; undefined when there is none. */
  #connection: number | undefined;
  /** The peer's own number of it: a connection that was opened earlier and comes later is refused. */
  #attempt = -1;
  #received = 0;
  #acknowledged = 0;
  #saidReceived = 0;
  #saidAcknowledged = 0;
  #bytes = 0;
  #sayAt: number | undefined;

  constructor(port: ReceiverPort<T>, { auto, ...limits }: { auto: boolean } & Partial<ReceiverLimits>) {
    this.#port = port;
    this.#auto = auto;
    this.#limits = { ...receiverLimits, ...limits };
  }

  get peerIncarnation(): number | undefined {
    return this.#peer;
  }

  get connection(): number | undefined {
    return this.#connection;
  }

  /** The number of the next message. */
  get received(): number {
    return this.#received;
  }

  get dueAt(): number | undefined {
    return this.#sayAt;
  }

  /** A peer of this incarnation opens its `attempt`th connection; it keeps messages from `base` on. */
  open(connection: number, incarnation: number, attempt: number, base: number): void {
    const older = this.#peer !== undefined && incarnation < this.#peer;
    if (older || (this.#fenced && incarnation === this.#peer)) return this.#port.refuse(connection, "fenced");
    const anew = this.#peer !== incarnation;
    if (!anew && attempt <= this.#attempt) return this.#port.cut(connection);
    if (!anew && (base > this.#received || base < 0)) return this.#port.refuse(connection, "lost");
    const before = this.#connection;
    this.#connection = connection;
    this.#attempt = attempt;
    if (before !== undefined) this.#port.cut(before);
    if (anew) {
      const known = this.#peer !== undefined;
      this.#peer = incarnation;
      this.#fenced = false;
      this.#received = base;
      this.#acknowledged = base;
      if (known) this.#port.peerRestarted(incarnation);
    }
    this.#said();
    this.#port.resume(connection, this.#received, this.#acknowledged);
  }

  /** The next message on this connection. What comes on one that does not count any more is dropped. */
  receive(connection: number, message: T, size: number, now: number): void {
    if (connection !== this.#connection) return;
    const number = this.#received++;
    this.#bytes += size;
    if (this.#auto) this.#acknowledged = this.#received;
    if (this.#sayAt === undefined) this.#sayAt = now + this.#limits.ackMs;
    this.#port.deliver(message, number);
    const much = this.#received - this.#saidReceived >= this.#limits.ackMessages || this.#bytes >= this.#limits.ackBytes;
    if (much && connection === this.#connection) this.#say();
  }

  /** Nothing before `upTo` is needed again. */
  acknowledge(incarnation: number, upTo: number, now: number): void {
    if (incarnation !== this.#peer || upTo <= this.#acknowledged) return;
    if (upTo > this.#received) throw new Error(`message ${upTo - 1} is acknowledged and has not come: ${this.#received} is the next`);
    this.#acknowledged = upTo;
    if (this.#connection !== undefined && this.#sayAt === undefined) this.#sayAt = now + this.#limits.ackMs;
  }

  disconnected(connection: number): void {
    if (connection !== this.#connection) return;
    this.#connection = undefined;
    this.#sayAt = undefined;
  }

  /** This incarnation of the peer is given up: nothing more is taken from it, now or later. */
  fence(incarnation: number): void {
    if (this.#peer !== undefined && incarnation < this.#peer) return;
    this.#peer = incarnation;
    this.#fenced = true;
    const connection = this.#connection;
    this.#connection = undefined;
    this.#sayAt = undefined;
    if (connection !== undefined) this.#port.cut(connection);
  }

  tick(now: number): void {
    if (this.#sayAt !== undefined && now >= this.#sayAt) this.#say();
  }

  check(): void {
    const counts = `${this.#saidAcknowledged}/${this.#acknowledged}, ${this.#saidReceived}/${this.#received}`;
    if (this.#acknowledged > this.#received) throw new Error(`link receiver: more is acknowledged than came: ${counts}`);
    if (this.#saidReceived > this.#received || this.#saidAcknowledged > this.#acknowledged) {
      throw new Error(`link receiver: more was said than is so: ${counts}`);
    }
    const unsaid = this.#saidReceived < this.#received || this.#saidAcknowledged < this.#acknowledged;
    if (this.#connection !== undefined && unsaid && this.#sayAt === undefined) {
      throw new Error(`link receiver: counts are never sent: ${counts}`);
    }
    if (this.#fenced && this.#connection !== undefined) throw new Error("link receiver: it is fenced and connected");
  }

  #say(): void {
    this.#said();
    this.#port.acknowledge(this.#connection!, this.#received, this.#acknowledged);
  }

  #said(): void {
    this.#saidReceived = this.#received;
    this.#saidAcknowledged = this.#acknowledged;
    this.#bytes = 0;
    this.#sayAt = undefined;
  }
}
