/**
 * This node as a member of a cluster: the port that other nodes reach it by, the links to them and to control, and what goes on them. The
 * daemon makes one where it is part of a cluster, and none otherwise.
 */
import { LeaseRouter } from "../../core/cluster/lease-router.ts";
import type { RefTable } from "../../core/refs/refs.ts";
import type { NodeMachine } from "../../core/node/node.ts";
import type { StoreService } from "../../memory/service.ts";
import { homeOf, prefixOf } from "../../protocol/ids.ts";
import type { ActorId, NodeId, NodePrefix, ProcessId } from "../../protocol/ids.ts";
import type { NodeView } from "../../protocol/cluster.ts";
import type { Body, DeathReason, MessageName } from "../../protocol/messages.ts";
import { definitions } from "../../protocol/messages.ts";
import { MalformedMessage } from "../../protocol/schema.ts";
import type { ClusterConfig } from "../daemon/config.ts";
import { ControlLink } from "../daemon/control-link.ts";
import type { ControlLinkEvents, OwnView } from "../daemon/control-link.ts";
import {
  ASK,
  CONTROL_ID,
  dial,
  formatAddress,
  LINK,
  LinkHub,
  listen,
  loadTls,
  parseAddress,
  PROBE,
  readTokenFile,
  serveAsk,
  tokenCredential,
  tokenMark,
} from "../network/index.ts";
import type { Caller, Credential, DialOptions, Listener, PeerClaims, Question, TlsChoice } from "../network/index.ts";
import { BULK, Transfer } from "../transfer/index.ts";
import { PackageExchange } from "./package-exchange.ts";
import { Router } from "./router.ts";
import type { NodeMessage, RouterHost } from "./router.ts";
import { Survey } from "./survey.ts";
import type { SurveyQuestion } from "./survey.ts";

export interface MemberHost {
  readonly nodeId: NodeId;
  readonly config: ClusterConfig;
  readonly node: NodeMachine;
  readonly refs: RefTable;
  /** Everything that comes in is an event of the machines. */
  event(run: () => void): void;
  now(): number;
  /** To a process of this node; false when it is not there. */
  deliver(to: ProcessId, name: MessageName, body: never): boolean;
  lives(process: ProcessId): boolean;
  /** What this node is, without its address. */
  self(): Omit<OwnView, "host" | "port">;
  living: ConstructorParameters<typeof ControlLink>[0]["living"];
  status(): Body<"nodeStatus">;
  readonly control: Pick<ControlLinkEvents, "place" | "unplace" | "jobEnded" | "jobOrder" | "drain" | "controlAt">;
  readonly store: StoreService;
  /** This node's own answer, as JSON. */
  ask(question: SurveyQuestion, answer: (body: string) => void): void;
  /** What a command asks this node. */
  answer(question: Question): Promise<unknown>;
  /** Of a package in this node's folder; undefined when it is not there. */
  readPackage(hash: string, offset: number, length: number): Promise<{ bytes: Uint8Array; last: boolean } | undefined>;
  /** Into this node's folder, from whoever has it. */
  fetchPackage(hash: string): Promise<void>;
  nodeLost(node: NodePrefix, reason: DeathReason): void;
  // The logs of actors whose home this is (src/core/journals.ts).
  readonly logged: RouterHost["logged"];
  news(body: Body<"actorNews">): void;
  answered(to: ProcessId, body: Body<"actorAnswer">): void;
  processGone(process: ProcessId): void;
  actorOver(id: ActorId): void;
  lost(error: Error): void;
  log(line: string): void;
}

/** What a dead node held is let go of so long after its death. */
const FORGET_MS = 10_000;
const REBALANCE_MS = 100;

export class Member {
  readonly clusterId: string;
  readonly tokenMark: string;
  readonly router: Router;
  readonly leases: LeaseRouter;
  readonly control: ControlLink;
  readonly #host: MemberHost;
  readonly #hub: LinkHub;
  readonly #survey = new Survey({
    ask: (node, body) => this.router.tell(node, "nodeAsk", body),
    others: () => this.#others(),
  });
  /** Packages of environments that other nodes have. */
  readonly packages: PackageExchange;
  readonly #listener: Listener;
  readonly #transfer: Transfer;
  readonly #gone = new Set<NodePrefix>();
  readonly #timer: NodeJS.Timeout;

  /** Rejects when its port cannot be had, or its token or certificates cannot be read. */
  static async open(host: MemberHost): Promise<Member> {
    const { config, nodeId } = host;
    const credentials = tokenCredential(config.token ?? readTokenFile(config.tokenFile!));
    const tls = config.tlsDir === undefined ? undefined : loadTls(config.tlsDir);
    const self = { role: "node" as const, id: nodeId, incarnation: Date.now() };
    const clusterId = config.clusterId ?? (await clusterAt(config.control, { self, credentials, ...(tls === undefined ? {} : { tls }) }));
    const accepting: { member?: Member } = {};
    const listener = await listen({
      host: config.host,
      port: config.port,
      credentials,
      clusterId,
      self,
      ...(tls === undefined ? {} : { tls }),
      ...(config.insecure === undefined ? {} : { insecure: config.insecure }),
      onConnection: (connection) => {
        if (accepting.member === undefined) connection.socket.destroy();
        else accepting.member.#accept(connection);
      },
      log: host.log,
    });
    return (accepting.member = new Member(host, listener, { clusterId, credentials, self, tls }));
  }

  private constructor(host: MemberHost, listener: Listener, proof: Proof) {
    this.#host = host;
    this.#listener = listener;
    this.clusterId = proof.clusterId;
    const { nodeId, config, node } = host;
    this.tokenMark = tokenMark(proof.credentials.secret, nodeId);
    this.#hub = new LinkHub({
      self: proof.self,
      clusterId: proof.clusterId,
      credentials: proof.credentials,
      ...(proof.tls === undefined ? {} : { tls: proof.tls }),
      onMessage: (from, name, body) => this.#message(from, name, body),
      onPeerRestarted: (id, incarnation) => {
        if (id === CONTROL_ID) host.event(() => this.control.peerRestarted(incarnation));
      },
      onEnded: (id, reason) => {
        if (id === CONTROL_ID) host.event(() => this.control.linkEnded(reason));
      },
      onTrouble: (id, error) => {
        if (id === CONTROL_ID) this.control.linkTrouble(error);
      },
    });
    this.control = new ControlLink({
      nodeId,
      hub: this.#hub,
      addresses: config.control.map((address) => parseAddress(address)),
      self: () => ({ ...host.self(), host: config.advertise ?? config.host, port: listener.port }),
      living: host.living,
      status: host.status,
      events: this.#controlEvents(),
    });
    const { view } = this.control;
    this.leases = new LeaseRouter(node, view, {
      forward: (to, from, hops, body) => this.router.forward(prefixOf(to), from, hops, body),
      relay: (to, from, name, body) => this.router.relay(prefixOf(to), from, name, body as never),
      reject: (to, body) => this.router.send(to, "leaseReject", body),
      processIsGone: (to, process) => this.router.send(to, "processLost", { processId: process, reason: GONE }),
      chance: Math.random,
    });
    this.packages = new PackageExchange({
      want: (to, body) => this.router.tell(to, "packageWant", body),
      part: (to, body) => this.router.tell(to, "packagePart", body),
      keep: (to, body) => this.router.tell(to, "packageKeep", body),
      head: () => this.#others().find((prefix) => this.#find(prefix)?.head === true),
      fetch: (hash) => host.fetchPackage(hash),
      others: () => this.#others(),
      read: (hash, offset, length) => host.readPackage(hash, offset, length),
    });
    this.router = this.#makeRouter();
    this.#transfer = this.#makeTransfer(proof);
    this.#timer = setInterval(() => host.event(() => this.leases.rebalance(host.now())), REBALANCE_MS);
    this.#timer.unref();
  }

  #makeRouter(): Router {
    const host = this.#host;
    const { nodeId, node, refs } = host;
    const { view } = this.control;
    return new Router(
      {
        self: prefixOf(nodeId),
        view,
        node,
        refs,
        leases: this.leases,
        link: (to, name, body) => this.#send(to, name, body),
        deliver: (to, name, body) => host.deliver(to, name, body),
        logged: (from, name, body) => host.logged(from, name, body),
        credit: (to, name, body) => {
          if (name === "actorAnswer") host.answered(to, body);
        },
        passes: (to, name, body) => this.control.passes(to, name, body),
        processGone: (process) => host.processGone(process),
        lives: (process) => host.lives(process),
        located: ({ id, size, nodes, failure }) => {
          const known = nodes.map((prefix) => view.nodeWith(prefix)).filter((node) => node !== undefined);
          this.#transfer.located(id, size, known, failure);
        },
        promote: (id) => host.store.promote(id),
        questionAnswered: (to, call) => this.control.answered(to, call),
        ask: (question, answer) => host.ask(question, answer),
        answered: (from, body) => this.#survey.answered(from, body),
        packages: this.packages,
        now: () => host.now(),
      },
      (prefix) => host.event(() => this.#nodeLost(prefix, { cause: "node-died", message: `node ${prefix} is not known to the cluster` })),
    );
  }

  #others(): NodePrefix[] {
    const { view } = this.control;
    return [...view.nodes]
      .filter(({ view: node }) => node.nodeId !== view.self && view.isAlive(node.nodeId))
      .map(({ view: node }) => prefixOf(node.nodeId));
  }

  /** Where other nodes reach this one. */
  get address(): string {
    const { host, advertise } = this.#host.config;
    return formatAddress({ host: advertise ?? host, port: this.#listener.port });
  }

  /** Resolves when this node is a member. Rejects when it is refused, or nobody answers. */
  start(): Promise<void> {
    this.control.start();
    return this.#joined;
  }

  #settle!: { readonly resolve: () => void; readonly reject: (error: Error) => void };
  #everJoined = false;
  readonly #joined = new Promise<void>((resolve, reject) => (this.#settle = { resolve, reject }));

  /** What is free here, or waits, has changed. */
  changed(): void {
    const { node } = this.#host;
    this.control.view.ownIs({ ...node.free }, node.queued());
    this.control.statusChanged();
  }

  /** Most bytes that are kept for one of the others. */
  keptBytes(): number {
    return Math.max(0, ...Object.values(this.#hub.statistics().links).map(({ keptBytes }) => keptBytes));
  }

  /** It leaves; what is said before still goes out. */
  leave(reason: string): void {
    this.control.leave(reason);
  }

  close(): void {
    clearInterval(this.#timer);
    this.router.stop();
    this.#survey.stop();
    this.packages.stop();
    this.#transfer.close();
    this.control.stop();
    this.#listener.close();
    this.#hub.close();
  }

  /** Asks every other node; calls back with what they answered. */
  survey(question: SurveyQuestion, done: (answers: string[]) => void): void {
    this.#survey.ask(question, done);
  }

  /** The living nodes, and the dead ones that are still listed. */
  views(): NodeView[] {
    return [...this.control.view.nodes].map(({ view }) => view);
  }

  #makeTransfer({ clusterId, credentials, self, tls }: Proof): Transfer {
    const { view } = this.control;
    return new Transfer({
      store: this.#host.store,
      self: { ...self, id: this.#host.nodeId },
      clusterId,
      credentials,
      ...(tls === undefined ? {} : { tls }),
      addressOf: (node) => (view.isAlive(node) ? view.get(node) : undefined),
      locate: (id) => this.#host.event(() => this.router.tell(homeOf(id), "objectLocate", { id })),
      announce: (id, there) => this.#host.event(() => this.router.tell(homeOf(id), "objectCopy", { id, there })),
    });
  }

  #controlEvents(): ControlLinkEvents {
    const host = this.#host;
    const event = (run: () => void): void => host.event(run);
    return {
      message: (to, name, body) => void host.deliver(to, name, body),
      place: (request) => host.control.place(request),
      unplace: (id, epoch, end) => host.control.unplace(id, epoch, end),
      over: (id) => host.actorOver(id),
      actorNews: (body) => host.news(body),
      give: (body) => this.router.give(body),
      alias: ({ actorId, given, alias }) => host.refs.alias(alias, actorId, given),
      givenInAll: ({ actors }) => {
        for (const { actorId, given, aliases } of actors) {
          for (const each of aliases) host.refs.alias(each.alias, actorId, each.given);
          host.refs.givenInAll(actorId, given);
        }
      },
      group: (name, body) => host.node.groupMessage(name, body, host.now()),
      groupsChanged: (groups) => this.leases.groupsChanged(groups, host.now()),
      jobEnded: (jobId) => host.control.jobEnded(jobId),
      jobOrder: (body) => host.control.jobOrder(body),
      jobShare: (body) => {
        host.node.jobShare(body, host.now());
        host.store.shareChanged();
      },
      controlChanged: () => host.node.controlChanged(),
      drain: (timeoutMs) => host.control.drain(timeoutMs),
      controlAt: (addresses) => host.control.controlAt(addresses),
      viewChanged: () => {
        this.router.viewChanged();
        this.leases.rebalance(host.now());
      },
      nodeGone: ({ nodeId, reason: message = `node ${nodeId} is not part of the cluster any more` }) =>
        event(() => this.#nodeLost(prefixOf(nodeId), { cause: "node-died", message })),
      joined: () => {
        this.#everJoined = true;
        this.#settle.resolve();
        this.changed();
      },
      lost: (error) => {
        if (this.#everJoined) host.lost(error);
        else this.#settle.reject(error);
      },
    };
  }

  #accept(connection: Caller): void {
    const { role, id, purpose } = connection.peer;
    const isControl = role === "control" && id === CONTROL_ID;
    if (purpose === LINK && (role === "node" || isControl)) this.#hub.accept(connection);
    else if (purpose === ASK) serveAsk(connection, (question) => this.#host.answer(question));
    else if (purpose === BULK && role === "node") this.#transfer.accept(connection);
    else if (purpose === PROBE) connection.socket.end();
    else connection.refuse(`a node has nothing for a ${role} with that purpose`);
  }

  #message(from: PeerClaims, name: MessageName, body: never): void {
    const { event } = this.#host;
    const { from: said, to } = definitions[name];
    if (said !== from.role || to !== "node") throw new MalformedMessage("message", `one from ${from.role} to a node`, name);
    if (from.role === "control") return event(() => this.control.receive(name, body));
    const prefix = prefixOf(from.id as NodeId);
    if (!this.#gone.has(prefix)) event(() => this.router.receive(prefix, name as NodeMessage, body));
  }

  #send<N extends NodeMessage>(to: NodePrefix, name: N, body: Body<N>): void {
    const view = this.#find(to);
    if (view !== undefined && !this.#gone.has(to)) this.#hub.link(view.nodeId, view).send(name, body);
  }

  #find(prefix: NodePrefix): NodeView | undefined {
    const id = this.control.view.nodeWith(prefix);
    return id === undefined ? undefined : this.control.view.get(id);
  }

  #nodeLost(prefix: NodePrefix, reason: DeathReason): void {
    if (this.#gone.has(prefix)) return;
    this.#gone.add(prefix);
    const { refs, node } = this.#host;
    const nodeId = this.control.view.nodeWith(prefix);
    this.router.nodeLost(prefix);
    this.#survey.nodeLost(prefix);
    this.packages.nodeLost(prefix);
    refs.nodeLost(prefix);
    node.ownersLost(prefix, this.#host.now());
    if (nodeId !== undefined) {
      this.#hub.forget(nodeId);
      this.#transfer.nodeLost(nodeId);
      this.leases.nodeLost(nodeId, this.#host.now());
    }
    this.#host.nodeLost(prefix, reason);
    const forget = (): void => {
      refs.nodeForgotten(prefix);
      this.router.nodeForgotten(prefix);
    };
    setTimeout(() => this.#host.event(forget), FORGET_MS).unref();
  }
}

/** The cluster that answers at one of these addresses, once it has proven the token. Rejects with the last failure. */
async function clusterAt(control: readonly string[], proof: Pick<DialOptions, "self" | "credentials" | "tls">): Promise<string> {
  let failed: unknown;
  for (const address of control) {
    try {
      const { socket, peer } = await dial({ ...parseAddress(address), ...proof, purpose: PROBE });
      socket.destroy();
      return peer.clusterId;
    } catch (error) {
      failed = error;
    }
  }
  throw failed;
}

interface Proof {
  readonly clusterId: string;
  readonly credentials: Credential;
  readonly self: PeerSelf;
  readonly tls: TlsChoice | undefined;
}
type PeerSelf = { readonly role: "node"; readonly id: string; readonly incarnation: number };
const GONE: DeathReason = { cause: "node-died", message: "its node is not part of the cluster any more" };
