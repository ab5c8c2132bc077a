/**
 * Control as a process: its machine between the links of the nodes and the store. A node's message is acknowledged once what it
 * changed is durable; until then the node keeps it for the next control, which finds in the store what this one had made durable.
 */
import { ClusterControl } from "../../core/control/cluster-control.ts";
import type { FromNode } from "../../core/control/cluster-control.ts";
import { saved, SavedTables } from "../../core/control/tables.ts";
import type { RecordOf, TableName } from "../../core/control/tables.ts";
import type { JobId, NodeId } from "../../protocol/ids.ts";
import { definitions } from "../../protocol/messages.ts";
import type { Body, MessageName } from "../../protocol/messages.ts";
import { MalformedMessage } from "../../protocol/schema.ts";
import {
  ASK,
  CONTROL_ID,
  formatAddress,
  HeldPort,
  jobOfCredential,
  jobToken,
  LINK,
  LinkHub,
  listen,
  parseAddress,
  PROBE,
  serveAsk,
} from "../network/index.ts";
import { answerControl } from "./questions.ts";
import type { ControlSource } from "./questions.ts";
import type { Address, Caller, Credential, Listener, PeerClaims, Secret, TlsChoice } from "../network/index.ts";
import { Alarm } from "../network/alarm.ts";
import type { Change, ControlStore, Loaded } from "../stores/index.ts";
import { JobNews } from "./job-news.ts";
import { Output } from "./output.ts";
import { Probes } from "./probes.ts";
import { holderOf, STANDBY } from "./standby.ts";

/** A predecessor's lease on the store runs out within this time. */
export const TAKEOVER_WAIT_MS = 5_000;
const STANDBYS_MAX = 8;
/** Control looks at its own clock so often, to know when it was stopped. */
const PULSE_MS = 500;

export interface ControlServerOptions {
  readonly store: ControlStore;
  readonly clusterId: string;
  readonly credentials: Credential;
  readonly host: string;
  readonly port: number;
  readonly tls?: TlsChoice;
  readonly insecure?: boolean;
  /** The node whose daemon keeps this process running: the head. */
  readonly keptBy?: NodeId;
  /** The store lies with the head, and nobody else can lead while that lives. */
  readonly storeOfHead?: boolean;
  /** How long to wait for the store: for the end of another leader. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
  /** It leads now, and is about to listen. */
  readonly beforeListening?: () => Promise<void>;
  readonly log: (line: string) => void;
  /** It cannot go on: another leads, or nothing can be written. The process must end. */
  readonly onLost: (error: Error) => void;
}

export class ControlServer {
  readonly machine: ClusterControl;
  readonly epoch: number;
  readonly #options: ControlServerOptions;
  readonly #hub: LinkHub;
  readonly #output: Output;
  readonly #alarm: Alarm;
  readonly #jobNews = new JobNews();
  readonly #probes: Probes;
  readonly #dirty = new Map<string, { readonly table: TableName; readonly key: string }>();
  /** How each node introduced itself, and where refused ones are told so. */
  readonly #incarnations = new Map<string, number>();
  readonly #strangers = new Map<string, Address>();
  /** What had been heard of each node in the changes that are stored, and what has been heard since. */
  readonly #heard = new Map<string, RecordOf<"heard">>();
  readonly #hearing = new Map<string, RecordOf<"heard">>();
  /** The latest first. */
  #standbys: Address[] = [];
  /** Those that are connected now. */
  readonly #standbySockets = new Map<Caller["socket"], string>();
  #listener: Listener | undefined;
  #pulse: NodeJS.Timeout | undefined;
  #pulseAt = performance.now();
  #scheduled = false;
  #over = false;

  /** Resolves when it leads, has read everything and listens. */
  static async start(given: ControlServerOptions): Promise<ControlServer> {
    // What it leads at is known before it leads: standbys read it in the store.
    const held = given.port === 0 ? await HeldPort.take(given) : undefined;
    const options = { ...given, port: held?.address.port ?? given.port };
    const { store, host, port, waitMs = TAKEOVER_WAIT_MS, signal, log } = options;
    store.onLost = (error) => options.onLost(error);
    try {
      const loaded = await store.open({ holder: holderOf({ host, port }), waitMs, ...(signal === undefined ? {} : { signal }) });
      await options.beforeListening?.();
      await held?.release();
      for (const warning of loaded.warnings) log(`warning: ${warning}`);
      const server = new ControlServer(options, loaded);
      await server.#listen();
      return server;
    } catch (error) {
      void held?.release();
      await store.close();
      throw error;
    }
  }

  private constructor(options: ControlServerOptions, loaded: Loaded) {
    this.#options = options;
    // A store that forgets counts no leaders: time does.
    this.epoch = options.store.place === "memory" ? Date.now() : loaded.epoch;
    const { clusterId, credentials, tls } = options;
    const self = { role: "control" as const, id: CONTROL_ID, incarnation: this.epoch };
    const proof = { self, clusterId, credentials, ...(tls === undefined ? {} : { tls }) };
    this.#probes = new Probes(proof, (id, why) => this.#absent(id, why));
    this.#hub = new LinkHub({
      ...proof,
      byHand: true,
      onMessage: (from, name, body, number) => this.#message(from, name, body, number),
      onEnded: (id, reason, kept) => this.#linkEnded(id, reason, kept),
    });
    this.machine = new ClusterControl(
      {
        send: (to, name, body) => {
          const address = this.#addressOf(to);
          this.#output.after(() => this.#send(to, address, name, body));
        },
        fence: (id) => this.#output.after(() => this.#fence(id)),
        probe: (id) => {
          const address = this.#addressOf(id);
          if (address !== undefined) this.#probes.look(id, address);
        },
        keep: (table, key) => this.#keep(table, key),
        ...(options.keptBy === undefined ? {} : { keptBy: options.keptBy }),
        chance: Math.random,
        clock: Date.now,
      },
      this.epoch,
    );
    this.#output = new Output(
      options.store,
      () => this.#changes(),
      (error) => this.#lost(error),
    );
    this.#alarm = new Alarm(
      (now) => this.#tick(now),
      () => this.machine.nextDeadline(),
    );
    const tables = new SavedTables(loaded.entries);
    for (const [id, heard] of tables.read("heard")) this.#heard.set(id, heard);
    this.machine.restore(tables, performance.now());
    this.#giveUpEarlierHeads();
    this.#schedule();
  }

  /** Of a store that lies with the head there is one head at a time: those of before need not be waited for. */
  #giveUpEarlierHeads(): void {
    const { keptBy, storeOfHead } = this.#options;
    if (keptBy === undefined || storeOfHead !== true) return;
    const earlier = this.machine.members.alive.filter(({ head, nodeId }) => head && nodeId !== keptBy);
    for (const { nodeId } of earlier) this.machine.unreachable(nodeId, "the head was started again", performance.now());
  }

  get address(): Address {
    return { host: this.#options.host, port: this.#listener!.port };
  }

  /** Does something with the machine; resolved when it is durable. */
  act<T>(event: (machine: ClusterControl, now: number) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#over) throw new Error("control has ended");
      this.#schedule();
      try {
        const result = event(this.machine, performance.now());
        this.#output.after(() => resolve(result));
      } catch (error) {
        reject(error as Error);
      }
    });
  }

  /** Lets another lead at once. */
  async close(): Promise<void> {
    this.#end();
    await this.#options.store.close();
  }

  async #listen(): Promise<void> {
    const { host, port, clusterId, tls, insecure, log } = this.#options;
    this.#listener = await listen({
      host,
      port,
      credentials: (name) => this.#secretOf(name),
      clusterId,
      self: { role: "control", id: CONTROL_ID, incarnation: this.epoch },
      ...(tls === undefined ? {} : { tls }),
      ...(insecure === undefined ? {} : { insecure }),
      onConnection: (connection) => this.#called(connection),
      log,
    });
    this.#pulse = setInterval(() => this.#beat(performance.now()), PULSE_MS);
  }

  #called(connection: Caller): void {
    const { role, purpose, credential } = connection.peer;
    const job = jobOfCredential(credential) as JobId | undefined;
    if (purpose === ASK) serveAsk(connection, (question) => answerControl(this.#source(), question, job));
    else if (job !== undefined) connection.refuse("the token of a job admits nobody to the cluster");
    else if (purpose === LINK && role === "node") this.#hub.accept(connection);
    else if (purpose === STANDBY && role === "control") this.#standby(connection);
    else if (purpose === PROBE) connection.socket.end();
    else connection.refuse(`control has nothing for a ${role} with that purpose`);
  }

  #source(): ControlSource {
    return {
      address: formatAddress(this.address),
      epoch: this.epoch,
      machine: this.machine,
      keptBy: this.#options.keptBy,
      standbys: [...this.#standbySockets.values()],
      act: (event) => this.act(event),
      jobChanged: (id, ms) => this.#jobNews.wait(id, ms),
    };
  }

  /** The cluster's token, and those of submitted jobs, each as long as its job runs. */
  #secretOf(name: string): Secret | undefined {
    const { credentials } = this.#options;
    if (name === credentials.name) return credentials.secret;
    const job = jobOfCredential(name) as JobId | undefined;
    return job !== undefined && this.machine.jobs.isOpen(job) ? jobToken(credentials.secret, job) : undefined;
  }

  #keep(table: TableName, key: string): void {
    this.#dirty.set(`${table} ${key}`, { table, key });
    const id = key as JobId;
    if (table === "job" && this.#jobNews.isAwaited(id)) this.#output.after(() => this.#jobNews.changed(id));
  }

  /** One that waits to take over: nodes are told where, and look there also after it has gone. */
  #standby({ peer, socket, refuse }: Caller): void {
    let address: Address;
    try {
      address = parseAddress(peer.id);
    } catch {
      return refuse("its id is not its address");
    }
    socket.on("error", () => {});
    socket.once("data", () => refuse("a standby says nothing"));
    this.#standbySockets.set(socket, peer.id);
    socket.once("close", () => this.#standbySockets.delete(socket));
    this.#standbys = [address, ...this.#standbys.filter((each) => formatAddress(each) !== peer.id)].slice(0, STANDBYS_MAX);
    for (const { nodeId } of this.machine.members.alive) this.#tellStandbys(nodeId);
  }

  #tellStandbys(to: NodeId): void {
    this.#send(to, this.#addressOf(to), "controlsKnown", { addresses: this.#standbys });
  }

  #message(from: PeerClaims, name: MessageName, body: never, number: number): void {
    if (this.#over) return;
    const { from: sender, to } = definitions[name];
    if (sender !== "node" || to !== "control") throw new MalformedMessage("message", "one from a node to control", name);
    this.#schedule();
    const { id, incarnation } = from;
    this.#output.after(() => this.#hub.acknowledge(id, incarnation, number + 1));
    this.#incarnations.set(id, incarnation);
    const heard = this.#heard.get(id);
    // The one before had made this durable and could not say so any more.
    if (heard?.incarnation === incarnation && number < heard.next) return;
    this.#hearing.set(id, { incarnation, next: number + 1 });
    if (name === "nodeJoin") {
      const { host, port } = (body as Body<"nodeJoin">).view;
      this.#strangers.set(id, { host, port });
    }
    this.machine.receive(id as NodeId, name as FromNode, body, performance.now());
    if (name === "nodeJoin" && this.#standbys.length > 0) this.#output.after(() => this.#tellStandbys(id as NodeId));
    this.#strangers.delete(id);
  }

  #addressOf(id: NodeId): Address | undefined {
    const view = this.machine.members.get(id);
    return this.#strangers.get(id) ?? (view === undefined ? undefined : { host: view.host, port: view.port });
  }

  #send<N extends MessageName>(to: NodeId, address: Address | undefined, name: N, body: Body<N>): void {
    if (address !== undefined) this.#hub.link(to, address).send(name, body);
  }

  #fence(id: NodeId): void {
    const incarnation = this.#incarnations.get(id);
    if (incarnation !== undefined) this.#hub.fence(id, incarnation);
    else this.#hub.forget(id);
  }

  /** Nothing more reaches a node: it is not a member any more. */
  #linkEnded(id: string, reason: string, kept: number): void {
    if (this.#over || reason === "stopped") return;
    this.#schedule();
    const why = reason === "overflow" ? "it does not take what is sent to it" : `its link ended (${reason}) with ${kept} messages to it`;
    this.machine.unreachable(id as NodeId, why, performance.now());
  }

  #absent(id: NodeId, why: string): void {
    if (this.#over) return;
    this.#schedule();
    this.machine.absent(id, why, performance.now());
  }

  #changes(): Change[] {
    const changes: Change[] = [...this.#dirty.values()].map(({ table, key }) => ({ table, key, value: this.machine.saved(table, key) }));
    this.#dirty.clear();
    // A node that says only how it is changes nothing, and need not be remembered.
    if (changes.length === 0) return changes;
    const forgotten = changes.filter(({ table, value }) => table === "node" && value === undefined);
    for (const [key, heard] of this.#hearing) {
      this.#heard.set(key, heard);
      changes.push({ table: "heard", key, value: saved("heard", heard) });
    }
    this.#hearing.clear();
    for (const { key } of forgotten) {
      this.#forget(key);
      changes.push({ table: "heard", key, value: undefined });
    }
    return changes;
  }

  #forget(id: string): void {
    this.#incarnations.delete(id);
    this.#heard.delete(id);
    this.#output.after(() => this.#hub.forget(id));
  }

  /** What follows in this turn is one batch. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (this.#over) return;
      this.#output.commit();
      this.#alarm.arm();
    });
  }

  #tick(now: number): void {
    if (this.#over) return;
    this.#beat(now);
    this.#schedule();
    this.machine.tick(now);
  }

  /** Who was stopped for a while has heard nobody, and must not take them for dead. */
  #beat(now: number): void {
    const late = now - this.#pulseAt - PULSE_MS;
    this.#pulseAt = now;
    if (late > PULSE_MS) this.machine.members.excuse(late);
  }

  #lost(error: Error): void {
    if (this.#over) return;
    this.#end();
    this.#options.onLost(error);
  }

  #end(): void {
    this.#over = true;
    clearInterval(this.#pulse);
    this.#alarm.stop();
    this.#listener?.close();
    this.#probes.stop();
    for (const socket of this.#standbySockets.keys()) socket.destroy();
    this.#hub.close();
    this.#jobNews.end();
  }
}
