/**
 * Connections between simulated processes. Above: messages of the protocol, encoded and decoded as in production, in order
 * and once, or a break; those whose definition names a `key` are now and then said twice, the repeat late. Below: packets that
 * are lost, repeated, delayed and reordered. Like a kernel, it delivers what a dead process had sent, then the break; after an
 * abrupt death only what had arrived.
 */
import type { Body, MessageName } from "../src/protocol/messages.ts";
import { definitions } from "../src/protocol/messages.ts";
import { codeOf, decodeBody, encodeBody, FIRST_DIRECT_CODE } from "../src/protocol/wire.ts";
import type { Out } from "../src/protocol/direct.ts";
import { ReliableChannel } from "./channel.ts";
import type { Packet } from "./channel.ts";
import type { Clock, Timer } from "./clock.ts";
import type { NetworkConfig } from "./config.ts";
import type { SimProcess } from "./process.ts";
import type { Rng } from "./rng.ts";
import type { Trace } from "./trace.ts";

/** What a connection does to the process that uses it. */
export interface ConnectionHandler {
  message(name: MessageName, body: never): void;
  direct?(code: number, buffer: Buffer, at: number, end: number): void;
  batchEnd?(): void;
  /** Once; everything that came has been handed on before. */
  closed(): void;
}

/** A message; undefined is the end of the connection. */
type Wire = { readonly code: number; readonly bytes: Uint8Array } | undefined;

const RESEND_US = 4000;

export class Network {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly config: NetworkConfig;
  readonly trace: Trace;
  readonly #ends = new Map<SimProcess, Set<End>>();
  /** While it is calm nothing is lost, repeated or late. */
  calm = false;

  constructor(clock: Clock, rng: Rng, config: NetworkConfig, trace: Trace) {
    this.clock = clock;
    this.rng = rng;
    this.config = config;
    this.trace = trace;
  }

  /** Connects two processes; `accept` gives the handler of the second. */
  connect(from: SimProcess, to: SimProcess, accept: (end: End) => ConnectionHandler): End {
    const near = new End(this, from);
    const far = new End(this, to);
    near.other = far;
    far.other = near;
    this.#add(near);
    if (to.alive) {
      this.#add(far);
      far.handler = accept(far);
    } else this.clock.after(this.delay(), () => near.broken());
    return near;
  }

  /** A process is dead: its connections end. */
  died(process: SimProcess, abrupt: boolean): void {
    for (const end of [...(this.#ends.get(process) ?? [])]) end.died(abrupt);
    this.#ends.delete(process);
  }

  forget(end: End): void {
    this.#ends.get(end.process)?.delete(end);
  }

  delay(): number {
    const { delayUs, worstUs } = this.config;
    return this.calm ? Math.min(delayUs, 50) : this.rng.tailed(delayUs, worstUs, 200);
  }

  #add(end: End): void {
    const ends = this.#ends.get(end.process);
    if (ends) ends.add(end);
    else this.#ends.set(end.process, new Set([end]));
  }
}

export class End implements Out {
  readonly process: SimProcess;
  readonly #network: Network;
  readonly #channel: ReliableChannel<Wire>;
  other!: End;
  handler: ConnectionHandler | undefined;
  buffer: Buffer = Buffer.alloc(0);
  #code = 0;
  #timer: Timer | undefined;
  readonly #received: Wire[] = [];
  #reading = false;
  /** Its process does not use it any more. */
  #closed = false;
  /** Nothing is sent or heard any more. */
  #gone = false;

  constructor(network: Network, process: SimProcess) {
    this.#network = network;
    this.process = process;
    this.#channel = new ReliableChannel<Wire>(
      { transmit: (packet) => this.#transmit(packet), deliver: (wire) => this.#arrived(wire) },
      RESEND_US,
    );
  }

  get closed(): boolean {
    return this.#closed;
  }

  send<N extends MessageName>(name: N, body: Body<N>): void {
    if (this.#closed) return;
    const wire = { code: codeOf(name), bytes: encodeBody(name, body) };
    const { rng, config, clock, calm, trace } = this.#network;
    trace.tell(clock.now, () => `${this.process.id} -> ${this.other.process.id} ${name} ${tellBody(body)}`);
    this.#send(wire);
    if (definitions[name].key === undefined || calm || !rng.chance(config.repeat)) return;
    clock.after(rng.int(0, config.repeatLateUs), () => {
      if (!this.#closed && this.process.alive) this.#send(wire);
    });
  }

  // ── hot messages, written as on a real connection ────────────────────────────────────────────

  begin(code: number, length: number): number {
    this.buffer = Buffer.alloc(length);
    this.#code = code;
    return 0;
  }

  commit(): void {
    if (!this.#closed) this.#send({ code: this.#code, bytes: this.buffer });
  }

  /** Ends the connection, after what was said. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#received.length = 0;
    this.#network.forget(this);
    this.#send(undefined);
  }

  died(abrupt: boolean): void {
    if (!abrupt) return this.close();
    this.#closed = true;
    this.#gone = true;
    this.#timer?.cancel();
    const { other } = this;
    this.#network.clock.after(this.#network.delay(), () => other.broken());
  }

  /** The other end is not there any more. */
  broken(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#timer?.cancel();
    this.#arrived(undefined);
  }

  packet(packet: Packet<Wire>): void {
    if (this.#gone) return;
    this.#channel.receive(packet, this.#network.clock.now);
    this.#channel.check();
    this.#arm();
  }

  #send(wire: Wire): void {
    if (this.#gone) return;
    this.#channel.send(wire, this.#network.clock.now);
    this.#arm();
  }

  #transmit(packet: Packet<Wire>): void {
    const { rng, config, clock, calm } = this.#network;
    if (!calm && rng.chance(config.loss)) return;
    const { other } = this;
    clock.after(this.#network.delay(), () => other.packet(packet));
    if (!calm && rng.chance(config.duplicate)) clock.after(this.#network.delay(), () => other.packet(packet));
  }

  #arrived(wire: Wire): void {
    if (this.#closed) return;
    this.#received.push(wire);
    if (this.#reading) return;
    this.#reading = true;
    this.process.post(() => this.#read());
  }

  /** Hands on what came, a chunk at a time, as a socket does. */
  #read(): void {
    this.#reading = false;
    const { rng, trace, clock } = this.#network;
    for (let left = rng.int(1, 6); left > 0 && this.#received.length > 0 && !this.#closed; left--) {
      const wire = this.#received.shift();
      trace.number(clock.now);
      trace.text(this.process.id);
      if (wire === undefined) {
        this.close();
        trace.tell(clock.now, () => `${this.process.id} hears the end of ${this.other.process.id}`);
        return this.handler?.closed();
      }
      trace.number(wire.code);
      trace.bytes(wire.bytes);
      this.#hand(wire.code, wire.bytes);
    }
    this.handler?.batchEnd?.();
    if (this.#received.length > 0 && !this.#reading) {
      this.#reading = true;
      this.process.post(() => this.#read());
    }
  }

  #hand(code: number, bytes: Uint8Array): void {
    const { handler } = this;
    if (!handler) throw new Error(`${this.process.id} is given a message before it listens`);
    if (code < FIRST_DIRECT_CODE) {
      const { name, body } = decodeBody(code, bytes);
      handler.message(name, body);
    } else if (handler.direct) handler.direct(code, bytes as Buffer, 0, bytes.byteLength);
    else throw new Error(`${this.process.id} is given a hot message`);
  }

  #arm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { dueAt } = this.#channel;
    const { clock } = this.#network;
    if (dueAt === undefined || this.#gone || this.other.#gone) return;
    this.#timer = clock.after(dueAt - clock.now, () => {
      this.#channel.tick(clock.now);
      this.#arm();
    });
  }
}

function tellBody(body: unknown): string {
  const text = JSON.stringify(body, (_key, value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString() : value));
  return text.length > 300 ? `${text.slice(0, 300)}...` : text;
}
