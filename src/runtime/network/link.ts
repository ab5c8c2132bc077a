/**
 * One way to a peer: the sending machine of a link with its connections and its timer. The receiving side is incoming.ts,
 * all links of a process are in hub.ts.
 */
import { LinkSender, senderLimits } from "../../core/link/sender.ts";
import type { LinkEnd, SenderLimits } from "../../core/link/sender.ts";
import {
  LINK_ACK,
  LINK_BYTES_MAX,
  LINK_OPEN,
  LINK_REFUSE,
  LINK_RESUME,
  readCounts,
  readRefusal,
  writeCounts,
} from "../../protocol/link.ts";
import type { Body, MessageName } from "../../protocol/messages.ts";
import { MalformedMessage } from "../../protocol/schema.ts";
import { codeOf, encodeBody, HEADER_BYTES } from "../../protocol/wire.ts";
import { Connection } from "../transport/connection.ts";
import { formatAddress } from "./address.ts";
import type { Address } from "./address.ts";
import { Alarm } from "./alarm.ts";
import type { Authenticated } from "./dial.ts";
import { timedOut } from "./failures.ts";

interface Encoded {
  readonly code: number;
  readonly bytes: Uint8Array;
}

export interface LinkEvents {
  /** Opens a connection; rejects when there is none to be had. */
  dial(address: Address, signal: AbortSignal): Promise<Authenticated>;
  peerRestarted(incarnation: number, again: number): void;
  ended(reason: LinkEnd, kept: number): void;
  /** A connection failed: it is tried again. */
  trouble(error: Error): void;
}

export interface LinkStatistics {
  readonly state: string;
  readonly keptMessages: number;
  readonly keptBytes: number;
  readonly sentMessages: number;
  readonly connections: number;
}

export class Link {
  readonly id: string;
  readonly #events: LinkEvents;
  readonly #sender: LinkSender<Encoded>;
  readonly #alarm: Alarm;
  #address: Address;
  #connection: Connection | undefined;
  #number = 0;
  #dialling: AbortController | undefined;
  #sent = 0;
  readonly #silenceMs: number;
  /** What is cut now is cut because time has passed. */
  #ticking = false;
  #connections = 0;
  /** The last time of use, for who is to rest first. */
  usedAt = 0;

  constructor(id: string, address: Address, events: LinkEvents, limits: Partial<SenderLimits>) {
    this.id = id;
    this.#address = address;
    this.#events = events;
    this.#silenceMs = limits.silenceMs ?? senderLimits.silenceMs;
    this.#alarm = new Alarm(
      (now) => this.#tick(now),
      () => this.#sender.dueAt,
    );
    this.#sender = new LinkSender<Encoded>(
      {
        dial: (number) => this.#dial(number),
        open: (number, base) => writeCounts(this.#connection!, LINK_OPEN, number, base),
        transmit: (_number, { code, bytes }) => {
          const to = this.#connection!;
          const at = to.begin(code, bytes.byteLength);
          to.buffer.set(bytes, at);
          to.commit();
        },
        cut: (number) => this.#cut(number),
        peerRestarted: (incarnation, again) => events.peerRestarted(incarnation, again),
        ended: (reason, kept) => events.ended(reason, kept),
      },
      Math.random,
      limits,
    );
  }

  get ended(): boolean {
    return this.#sender.state === "ended";
  }

  /** A connection is there or being made. */
  get busy(): boolean {
    return this.#connection !== undefined || this.#dialling !== undefined;
  }

  /** False when the link has ended; then nothing will arrive any more. The message is taken as it is now. */
  send<N extends MessageName>(name: N, body: Body<N>): boolean {
    const bytes = encodeBody(name, body);
    const now = performance.now();
    this.usedAt = now;
    const taken = this.#sender.send({ code: codeOf(name), bytes }, bytes.byteLength + HEADER_BYTES, now);
    if (taken) this.#sent++;
    this.#alarm.arm();
    return taken;
  }

  /** The peer is reached elsewhere now. */
  moveTo(address: Address): void {
    if (address.host === this.#address.host && address.port === this.#address.port) return;
    this.#address = address;
    this.#sender.hurry();
    this.#alarm.arm();
  }

  /** Closes the connection if nothing is under way on it. */
  rest(): boolean {
    return this.#sender.rest();
  }

  stop(): void {
    this.#sender.stop();
    this.#alarm.stop();
  }

  statistics(): LinkStatistics {
    const { state, keptMessages, keptBytes } = this.#sender;
    return { state, keptMessages, keptBytes, sentMessages: this.#sent, connections: this.#connections };
  }

  #dial(number: number): void {
    const dialling = new AbortController();
    this.#dialling = dialling;
    this.#number = number;
    this.#events.dial(this.#address, dialling.signal).then(
      (connection) => {
        if (this.#dialling !== dialling) return connection.socket.destroy();
        this.#dialling = undefined;
        this.#opened(number, connection);
      },
      (error: Error) => {
        if (this.#dialling !== dialling) return;
        this.#dialling = undefined;
        this.#events.trouble(error);
        this.#event(() => this.#sender.disconnected(number, performance.now()));
      },
    );
  }

  #opened(number: number, { socket, peer }: Authenticated): void {
    this.#connections++;
    const connection = new Connection(socket, {
      message: (name) => {
        throw new MalformedMessage("message", "nothing but counts on this connection", name);
      },
      directLimit: LINK_BYTES_MAX,
      direct: (code, buffer, at, end) => this.#event(() => this.#counts(number, code, buffer, at, end)),
      closed: (error) => {
        if (this.#connection === connection) this.#connection = undefined;
        if (error !== undefined) this.#events.trouble(error);
        this.#event(() => this.#sender.disconnected(number, performance.now()));
      },
    });
    this.#connection = connection;
    this.#event(() => this.#sender.connected(number, peer.incarnation, performance.now()));
  }

  #counts(number: number, code: number, buffer: Buffer, at: number, end: number): void {
    const now = performance.now();
    if (code === LINK_ACK) this.#sender.acknowledged(number, ...readCounts(buffer, at, end), now);
    else if (code === LINK_RESUME) this.#sender.resumed(number, ...readCounts(buffer, at, end), now);
    else if (code === LINK_REFUSE) this.#sender.refused(number, readRefusal(buffer, at, end));
    else throw new MalformedMessage("code", "counts of a link", code);
  }

  #tick(now: number): void {
    this.#ticking = this.#sender.keptMessages > 0;
    this.#sender.tick(now);
    this.#ticking = false;
  }

  #cut(number: number): void {
    if (number !== this.#number) return;
    // Nothing came back in time: whoever knows another address tries that.
    if (this.#ticking) this.#events.trouble(timedOut(formatAddress(this.#address), "it took nothing of what was sent", this.#silenceMs));
    this.#dialling?.abort(new Error("the connection is given up"));
    this.#dialling = undefined;
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.destroy();
  }

  #event(event: () => void): void {
    event();
    this.#alarm.arm();
  }
}
