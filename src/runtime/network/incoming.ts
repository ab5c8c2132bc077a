/**
 * What one peer sends here: the receiving machine of a link with the connections that the peer opens.
 */
import { LinkReceiver } from "../../core/link/receiver.ts";
import { LINK_ACK, LINK_BYTES_MAX, LINK_OPEN, LINK_RESUME, readCounts, writeCounts, writeRefusal } from "../../protocol/link.ts";
import type { MessageName } from "../../protocol/messages.ts";
import { MalformedMessage } from "../../protocol/schema.ts";
import { Connection } from "../transport/connection.ts";
import { Alarm } from "./alarm.ts";
import type { Caller, PeerClaims } from "./dial.ts";

export interface IncomingEvents {
  /** In order and once. `number` is for `acknowledge`. */
  message(from: PeerClaims, name: MessageName, body: never, number: number): void;
  batchEnd(): void;
  peerRestarted(peer: PeerClaims): void;
}

interface Received {
  readonly name: MessageName;
  readonly body: never;
}

export class Incoming {
  readonly #events: IncomingEvents;
  readonly #receiver: LinkReceiver<Received>;
  readonly #alarm: Alarm;
  readonly #connections = new Map<number, Connection>();
  #numbers = 0;
  /** As it introduced itself on the connection that counts. */
  #peer: PeerClaims | undefined;

  /** `auto`: a message is acknowledged when it has been handed on; else by `acknowledge`. */
  constructor(auto: boolean, events: IncomingEvents) {
    this.#events = events;
    this.#alarm = new Alarm(
      (now) => this.#receiver.tick(now),
      () => this.#receiver.dueAt,
    );
    this.#receiver = new LinkReceiver<Received>(
      {
        resume: (number, next, acknowledged) => writeCounts(this.#connections.get(number)!, LINK_RESUME, next, acknowledged),
        refuse: (number, reason) => {
          const connection = this.#connections.get(number)!;
          writeRefusal(connection, reason);
          connection.close();
        },
        acknowledge: (number, received, acknowledged) => writeCounts(this.#connections.get(number)!, LINK_ACK, received, acknowledged),
        deliver: ({ name, body }, number) => events.message(this.#peer!, name, body, number),
        cut: (number) => this.#connections.get(number)?.destroy(),
        peerRestarted: () => events.peerRestarted(this.#peer!),
      },
      { auto },
    );
  }

  get received(): number {
    return this.#receiver.received;
  }

  accept({ socket, peer, refuse }: Caller): void {
    const number = this.#numbers++;
    let opened = false;
    const connection = new Connection(socket, {
      message: (name, body, bytes) => {
        if (!opened) throw new MalformedMessage("message", "open first", name);
        this.#receiver.receive(number, { name, body }, bytes, performance.now());
      },
      directLimit: LINK_BYTES_MAX,
      direct: (code, buffer, at, end) => {
        if (code !== LINK_OPEN || opened) throw new MalformedMessage("code", "one open, then messages", code);
        const [attempt, base] = readCounts(buffer, at, end);
        opened = true;
        const before = this.#peer;
        this.#peer = peer;
        this.#receiver.open(number, peer.incarnation, attempt, base);
        if (this.#receiver.connection !== number) this.#peer = before;
      },
      batchEnd: () => {
        this.#alarm.arm();
        this.#events.batchEnd();
      },
      closed: (error) => {
        if (error instanceof MalformedMessage) refuse(error.message);
        this.#connections.delete(number);
        this.#receiver.disconnected(number);
      },
    });
    this.#connections.set(number, connection);
  }

  acknowledge(incarnation: number, upTo: number): void {
    this.#receiver.acknowledge(incarnation, upTo, performance.now());
    this.#alarm.arm();
  }

  fence(incarnation: number): void {
    this.#receiver.fence(incarnation);
  }

  close(): void {
    this.#alarm.stop();
    for (const connection of this.#connections.values()) connection.destroy();
  }
}
