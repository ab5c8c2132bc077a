/**
 * All links of one process: one way out and one way in for each peer, over connections that are opened when they are needed and
 * closed when they are not. Each direction goes over connections that its sender opened.
 */
import type { SenderLimits, LinkEnd } from "../../core/link/sender.ts";
import type { MessageName } from "../../protocol/messages.ts";
import { busy } from "./failures.ts";
import { formatAddress } from "./address.ts";
import type { Address } from "./address.ts";
import { dial } from "./dial.ts";
import type { Authenticated, Caller, PeerClaims } from "./dial.ts";
import type { Self } from "./handshake.ts";
import { Incoming } from "./incoming.ts";
import { Link } from "./link.ts";
import type { LinkStatistics } from "./link.ts";
import type { Credential } from "./secret.ts";
import type { TlsChoice } from "./tls.ts";

/** Every control of a cluster has this id on its links: to its peers they are one that was started anew. */
export const CONTROL_ID = "control";
/** The purpose of a link's connections: whoever listens gives those that have it to `accept`. */
export const LINK = "link";
/** The purpose of a connection that only asks which cluster is there. */
export const PROBE = "probe";
const CONNECTIONS_MAX = 1024;

export interface HubOptions {
  readonly self: Self;
  readonly clusterId: string;
  readonly credentials: Credential;
  readonly tls?: TlsChoice;
  readonly limits?: Partial<SenderLimits>;
  /** Of this side; when there are more, the one that was used longest ago and has nothing under way is closed. */
  readonly maxConnections?: number;
  /** Messages are acknowledged by `acknowledge`, and not as soon as they have been handed on. */
  readonly byHand?: boolean;
  /** What arrived, in order and once for each pair of incarnations. */
  readonly onMessage: (from: PeerClaims, name: MessageName, body: never, number: number) => void;
  /** What had arrived together has been handed on. */
  readonly onBatchEnd?: () => void;
  /** The peer that is sent to was started anew, and gets `again` messages that the one before may have had. */
  readonly onPeerRestarted?: (id: string, incarnation: number, again: number) => void;
  /** The peer that sends was started anew: nothing more comes from the one before. */
  readonly onSenderRestarted?: (from: PeerClaims) => void;
  /** Nothing more arrives there, for good; `kept` messages were not acknowledged. */
  readonly onEnded?: (id: string, reason: LinkEnd, kept: number) => void;
  /** A connection could not be made; it is tried again. */
  readonly onTrouble?: (id: string, error: Error) => void;
}

export interface HubStatistics {
  /** Connections that this side has opened, or is opening. */
  readonly connections: number;
  readonly links: Readonly<Record<string, LinkStatistics>>;
}

export class LinkHub {
  readonly #options: HubOptions;
  readonly #links = new Map<string, Link>();
  readonly #incoming = new Map<string, Incoming>();
  #closed = false;

  constructor(options: HubOptions) {
    this.#options = options;
  }

  /**
   * The link to a peer, made at the first call, which may set limits of its own. With another address than before the peer has
   * moved. One that has ended stays so until the peer is fenced or forgotten: the peer has counted what it got.
   */
  link(id: string, address: Address, limits: Partial<SenderLimits> = {}): Link {
    const known = this.#links.get(id);
    if (known !== undefined) {
      known.moveTo(address);
      return known;
    }
    const { onPeerRestarted, onEnded, onTrouble } = this.#options;
    const link = new Link(
      id,
      address,
      {
        dial: (to, signal) => this.#dial(link, to, signal),
        peerRestarted: (incarnation, again) => onPeerRestarted?.(id, incarnation, again),
        ended: (reason, kept) => onEnded?.(id, reason, kept),
        trouble: (error) => onTrouble?.(id, error),
      },
      { ...this.#options.limits, ...limits },
    );
    if (this.#closed) link.stop();
    this.#links.set(id, link);
    return link;
  }

  /** Takes a connection that a peer has opened for its link. */
  accept(connection: Caller): void {
    if (this.#closed) return void connection.socket.destroy();
    this.#from(connection.peer.id).accept(connection);
  }

  /** Everything before `upTo` that this incarnation sent need not be kept there any more. */
  acknowledge(id: string, incarnation: number, upTo: number): void {
    this.#incoming.get(id)?.acknowledge(incarnation, upTo);
  }

  /** The peer is given up: nothing goes to it and nothing is taken from this incarnation any more. */
  fence(id: string, incarnation: number): void {
    this.#links.get(id)?.stop();
    this.#links.delete(id);
    this.#from(id).fence(incarnation);
  }

  /** Forgets a peer that will not come back under this id. */
  forget(id: string): void {
    this.#links.get(id)?.stop();
    this.#links.delete(id);
    this.#incoming.get(id)?.close();
    this.#incoming.delete(id);
  }

  statistics(): HubStatistics {
    const links = Object.fromEntries([...this.#links].map(([id, link]) => [id, link.statistics()]));
    return { connections: this.#busy().length, links };
  }

  /** What is not acknowledged is not sent any more. */
  close(): void {
    this.#closed = true;
    for (const link of this.#links.values()) link.stop();
    for (const incoming of this.#incoming.values()) incoming.close();
  }

  #from(id: string): Incoming {
    let incoming = this.#incoming.get(id);
    if (incoming === undefined) {
      const { onMessage, onBatchEnd, onSenderRestarted, byHand } = this.#options;
      incoming = new Incoming(byHand !== true, {
        message: onMessage,
        batchEnd: () => onBatchEnd?.(),
        peerRestarted: (from) => onSenderRestarted?.(from),
      });
      this.#incoming.set(id, incoming);
    }
    return incoming;
  }

  #busy(): Link[] {
    return [...this.#links.values()].filter((link) => link.busy);
  }

  async #dial(link: Link, address: Address, signal: AbortSignal): Promise<Authenticated> {
    const max = this.#options.maxConnections ?? CONNECTIONS_MAX;
    const others = this.#busy().filter((other) => other !== link);
    if (others.length >= max) {
      const rested = others.sort((a, b) => a.usedAt - b.usedAt).some((other) => other.rest());
      if (!rested) throw busy(formatAddress(address));
    }
    const { self, clusterId, credentials, tls } = this.#options;
    const expect = { clusterId, id: link.id };
    return await dial({ ...address, self, credentials, purpose: LINK, expect, signal, ...(tls === undefined ? {} : { tls }) });
  }
}
