/**
 * Two halves of a link in virtual time, with everything that can happen to connections between them: cut at any moment with any
 * part of what was under way lost in either direction, opened late, silent, peers started anew on both sides. It keeps its own
 * account of what must arrive.
 */
import { LinkReceiver } from "../../src/core/link/receiver.ts";
import { LinkSender } from "../../src/core/link/sender.ts";
import type { LinkEnd, SenderLimits } from "../../src/core/link/sender.ts";
import type { Rng } from "../../sim/rng.ts";

/** What is on one connection, in order, either way. */
type Word =
  | { kind: "open"; attempt: number; base: number }
  | { kind: "message"; value: number }
  | { kind: "resume"; next: number; acknowledged: number }
  | { kind: "refuse"; reason: "fenced" | "lost" }
  | { kind: "ack"; received: number; acknowledged: number };

interface Line {
  readonly number: number;
  /** To which incarnation it leads. */
  to: number | undefined;
  readonly there: Word[];
  readonly back: Word[];
  /** The sender's side of it is closed; the receiver may still read what was under way. */
  cutHere: boolean;
  cutThere: boolean;
  /** Nothing moves on it, and nobody is told. */
  silent: boolean;
}

export class LinkWorld {
  readonly rng: Rng;
  now = 0;
  readonly lines: Line[] = [];
  sender: LinkSender<number>;
  receiver: LinkReceiver<number>;
  senderIncarnation = 1;
  receiverIncarnation = 1;
  /** What this incarnation of the receiver was given, in order. */
  delivered: number[] = [];
  /** Durable at the receiver, whichever incarnation: never to be lost. */
  readonly durable = new Set<number>();
  sent = 0;
  /** The first message of the present sender. */
  first = 0;
  ended: LinkEnd | undefined;
  restartsSeen = 0;
  readonly auto: boolean;
  readonly limits: Partial<SenderLimits>;
  #unsure: { incarnation: number; upTo: number; values: number[] } | undefined;

  constructor(rng: Rng, auto: boolean, limits: Partial<SenderLimits> = {}) {
    this.rng = rng;
    this.auto = auto;
    this.limits = limits;
    this.sender = this.#newSender();
    this.receiver = this.#newReceiver();
  }

  #newSender(): LinkSender<number> {
    const own = this.senderIncarnation;
    const line = (connection: number): Line => this.lines.findLast(({ number }) => number === connection)!;
    return new LinkSender<number>(
      {
        dial: (number) => {
          if (own !== this.senderIncarnation) throw new Error("a dead sender dials");
          this.lines.push({ number, to: undefined, there: [], back: [], cutHere: false, cutThere: false, silent: this.rng.chance(0.05) });
        },
        open: (connection, base) => void line(connection).there.push({ kind: "open", attempt: connection, base }),
        transmit: (connection, value) => void line(connection).there.push({ kind: "message", value }),
        cut: (connection) => void (line(connection).cutHere = true),
        peerRestarted: () => void this.restartsSeen++,
        ended: (reason) => void (this.ended = reason),
      },
      () => this.rng.float(),
      { silenceMs: 500, idleMs: 2_000, backoffMinMs: 5, backoffMaxMs: 100, window: 40, ...this.limits },
    );
  }

  #newReceiver(): LinkReceiver<number> {
    this.delivered = [];
    this.#unsure = undefined;
    const back = (index: number, word: Word): void => void this.lines[index]!.back.push(word);
    return new LinkReceiver<number>(
      {
        resume: (index, next, acknowledged) => back(index, { kind: "resume", next, acknowledged }),
        refuse: (index, reason) => back(index, { kind: "refuse", reason }),
        acknowledge: (index, received, acknowledged) => back(index, { kind: "ack", received, acknowledged }),
        deliver: (value, number) => {
          this.delivered.push(value);
          if (this.auto) this.durable.add(value);
          else {
            this.#unsure ??= { incarnation: this.receiver.peerIncarnation!, upTo: 0, values: [] };
            this.#unsure.upTo = number + 1;
            this.#unsure.values.push(value);
          }
        },
        cut: (index) => void (this.lines[index]!.cutThere = true),
        peerRestarted: () => {
          this.delivered = [];
          this.#unsure = undefined;
        },
      },
      { auto: this.auto, ackMessages: 8, ackBytes: 64, ackMs: 10 },
    );
  }

  send(count: number): void {
    for (let i = 0; i < count; i++) this.sender.send(this.sent++, this.rng.int(1, 9), this.now);
  }

  /** Everything that has come is on disk. */
  sync(): void {
    const unsure = this.#unsure;
    if (unsure === undefined) return;
    this.#unsure = undefined;
    for (const value of unsure.values) this.durable.add(value);
    this.receiver.acknowledge(unsure.incarnation, unsure.upTo, this.now);
  }

  restartReceiver(): void {
    this.receiverIncarnation++;
    this.receiver = this.#newReceiver();
    for (const line of this.lines) if (line.to !== undefined && line.to !== this.receiverIncarnation) line.cutThere = true;
  }

  restartSender(): void {
    this.senderIncarnation++;
    this.first = this.sent;
    for (const line of this.lines) line.cutHere = true;
    // Its numbers begin anew, as does all of its memory; what it had sent may still be under way.
    this.#oldLines = this.lines.length;
    this.sender = this.#newSender();
  }

  #oldLines = 0;

  /** One thing happens somewhere. */
  step(faults: boolean): void {
    this.now += this.rng.int(0, 20);
    for (const machine of [this.sender, this.receiver]) machine.tick(this.now);
    for (let index = Math.max(0, this.lines.length - 6); index < this.lines.length; index++) {
      if (this.rng.chance(0.7)) this.#move(index, faults);
    }
    if (faults && this.lines.length > 0 && this.rng.chance(0.03)) this.lines.at(-1)!.silent = true;
    this.sender.check();
    this.receiver.check();
  }

  #move(index: number, faults: boolean): void {
    const line = this.lines[index]!;
    const own = index >= this.#oldLines;
    if (line.to === undefined && !line.cutThere) {
      if (line.silent) return void (own && this.rng.chance(0.1) && this.#lose(line, true));
      line.to = this.receiverIncarnation;
      if (own && !line.cutHere) this.sender.connected(line.number, line.to, this.now);
      return;
    }
    if (faults && this.rng.chance(0.05)) return this.#lose(line, own, index);
    if (!line.silent) {
      for (let n = this.rng.int(0, 12); n > 0 && !line.cutThere && line.there.length > 0; n--) this.#there(index, line.there.shift()!);
      for (let n = this.rng.int(0, 12); n > 0 && !line.cutHere && line.back.length > 0; n--) this.#back(line, line.back.shift()!);
    }
    if (line.cutThere && !line.cutHere && own && line.back.length === 0) this.#lose(line, own, index);
    // What was written before the sender closed still arrives, and then the end.
    if (line.cutHere && !line.cutThere && line.there.length === 0) this.#lose(line, false, index);
  }

  /** Breaks for both; what is under way is lost, on each side from any place on. */
  #lose(line: Line, own: boolean, index = -1): void {
    if (!line.cutThere && index >= 0) {
      for (let n = this.rng.int(0, line.there.length); n > 0 && !line.cutThere; n--) this.#there(index, line.there.shift()!);
      this.receiver.disconnected(index);
    }
    line.cutThere = true;
    if (!line.cutHere) {
      line.cutHere = true;
      if (own) this.sender.disconnected(line.number, this.now);
    }
    line.there.length = 0;
    line.back.length = 0;
  }

  #there(index: number, word: Word): void {
    const incarnation = index < this.#oldLines ? this.senderIncarnation - 1 : this.senderIncarnation;
    if (word.kind === "open") this.receiver.open(index, incarnation, word.attempt, word.base);
    else if (word.kind === "message") this.receiver.receive(index, word.value, 5, this.now);
  }

  #back(line: Line, word: Word): void {
    if (word.kind === "resume") this.sender.resumed(line.number, word.next, word.acknowledged, this.now);
    else if (word.kind === "ack") this.sender.acknowledged(line.number, word.received, word.acknowledged, this.now);
    else if (word.kind === "refuse") this.sender.refused(line.number, word.reason);
  }

  /** Runs on without faults until the sender keeps nothing; false if that does not come. */
  settle(): boolean {
    for (let i = 0; i < 5_000; i++) {
      if (this.sender.keptMessages === 0) return true;
      this.step(false);
      this.sync();
    }
    return false;
  }
}
