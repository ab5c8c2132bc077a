/**
 * One end of a reliable channel over packets that may be lost, repeated, delayed and reordered: sequence numbers, cumulative
 * acknowledgements, retransmission, and a window. A pure machine: time is handed in, packets go out through the port.
 */

export type Packet<T> =
  | { readonly kind: "data"; readonly seq: number; readonly payload: T }
  /** Everything before `next` has come. */
  | { readonly kind: "ack"; readonly next: number };

export interface ChannelPort<T> {
  transmit(packet: Packet<T>): void;
  /** In order, each once. */
  deliver(payload: T): void;
}

/** Sent and not acknowledged, at most; ahead of what is due no more can come. */
export const WINDOW = 64;
const BACKOFF_MAX = 4;

export class ReliableChannel<T> {
  readonly #port: ChannelPort<T>;
  readonly #timeout: number;
  /** From the oldest that is not acknowledged; the first WINDOW of them are on their way. */
  readonly #out: T[] = [];
  #acknowledged = 0;
  #transmitted = 0;
  #resendAt = 0;
  #backoff = 0;
  #due = 0;
  readonly #ahead = new Map<number, T>();

  /** `timeout`: after so long without an acknowledgement, in the unit of `now`, what is under way is sent again. */
  constructor(port: ChannelPort<T>, timeout: number) {
    this.#port = port;
    this.#timeout = timeout;
  }

  /** When `tick` is due; undefined when the other end has everything. */
  get dueAt(): number | undefined {
    return this.#out.length === 0 ? undefined : this.#resendAt;
  }

  send(payload: T, now: number): void {
    if (this.#out.length === 0) this.#resendAt = now + this.#timeout;
    this.#out.push(payload);
    this.#fill();
  }

  receive(packet: Packet<T>, now: number): void {
    if (packet.kind === "ack") return this.#acked(packet.next, now);
    if (packet.seq >= this.#due && packet.seq < this.#due + WINDOW) this.#ahead.set(packet.seq, packet.payload);
    while (this.#ahead.has(this.#due)) {
      const payload = this.#ahead.get(this.#due)!;
      this.#ahead.delete(this.#due++);
      this.#port.deliver(payload);
    }
    this.#port.transmit({ kind: "ack", next: this.#due });
  }

  tick(now: number): void {
    if (this.#out.length === 0 || now < this.#resendAt) return;
    this.#backoff = Math.min(this.#backoff + 1, BACKOFF_MAX);
    this.#resendAt = now + this.#timeout * 2 ** this.#backoff;
    for (let seq = this.#acknowledged; seq < this.#transmitted; seq++) this.#transmit(seq);
  }

  check(): void {
    const flying = this.#transmitted - this.#acknowledged;
    if (flying < 0 || flying > WINDOW || flying > this.#out.length) throw new Error(`${flying} packets are under way`);
    if (this.#out.length > 0 && flying === 0) throw new Error("there is something to send and nothing is under way");
    for (const seq of this.#ahead.keys()) if (seq <= this.#due) throw new Error(`packet ${seq} is kept, ${this.#due} is due`);
  }

  #acked(next: number, now: number): void {
    if (next <= this.#acknowledged || next > this.#transmitted) return;
    this.#out.splice(0, next - this.#acknowledged);
    this.#acknowledged = next;
    this.#backoff = 0;
    this.#resendAt = now + this.#timeout;
    this.#fill();
  }

  #fill(): void {
    const end = this.#acknowledged + Math.min(this.#out.length, WINDOW);
    while (this.#transmitted < end) this.#transmit(this.#transmitted++);
  }

  #transmit(seq: number): void {
    this.#port.transmit({ kind: "data", seq, payload: this.#out[seq - this.#acknowledged]! });
  }
}
