/**
 * An owner of one node and the workers of another: two daemons, and a client that believes it speaks with its own node only. What
 * it says of leases and actors goes to the other daemon, as nodes of a cluster would pass it on.
 */
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { adoptEngine, apiHooks } from "../../src/api/session.ts";
import { driverId } from "../../src/protocol/ids.ts";
import type { JobId } from "../../src/protocol/ids.ts";
import type { Body, MessageName, Reach, WorkerAddress } from "../../src/protocol/messages.ts";
import { Client } from "../../src/runtime/client/client.ts";
import { ClientEngine, notAnActor } from "../../src/runtime/client/engine.ts";
import { nodeSocketOf, packagesOf } from "../../src/runtime/daemon/config.ts";
import { Connection } from "../../src/runtime/transport/connection.ts";
import { DaemonHarness } from "./daemon-harness.ts";

/** What nodes would pass on to the node that has the workers. */
const THERE = /^(lease|actor|killProcess)/;

export interface Said {
  readonly name: MessageName;
  readonly body: never;
}

/** A TCP port in front of a worker's, whose connections the test can break, or leave as they are and pass nothing on. */
export class Cable {
  /** So many came so far. */
  connections = 0;
  /** From now on new connections are accepted, and nothing moves on them. */
  dead = false;
  readonly port: number;
  readonly #near = new Set<Socket>();
  readonly #server: Server;

  constructor(to: Reach, port: number) {
    this.port = port;
    this.#server = createServer((near) => {
      this.connections++;
      this.#near.add(near.on("error", () => {}));
      const far = this.dead ? undefined : connect(to.port, to.host).on("error", () => {});
      if (far) near.pipe(far).pipe(near);
      near.on("close", () => {
        this.#near.delete(near);
        far?.destroy();
      });
      far?.on("close", () => near.destroy());
    });
    this.listen();
  }

  /** Now. */
  get open(): number {
    return this.#near.size;
  }

  listen(): void {
    this.#server.listen(this.port, "127.0.0.1");
  }

  /** Nobody listens. */
  close(): void {
    this.#server.close();
  }

  cut(): void {
    for (const near of this.#near) near.destroy();
  }
}

export class Across {
  readonly here: DaemonHarness;
  readonly there: DaemonHarness;
  readonly client: Client;
  /** All that the client said to its node, in order. */
  readonly said: Said[] = [];
  /** Addresses of workers as the owner is told them. */
  changeReach: (reach: Reach) => Reach | undefined = (reach) => reach;
  readonly reaches: Reach[] = [];
  #toClient: Connection | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #servers: Server[] = [];
  readonly #cables: Cable[] = [];
  /** Free ports for them. */
  readonly #ports: number[] = [];

  static async start(tls: boolean): Promise<Across> {
    const main = fileURLToPath(new URL("../../dist/worker/main.js", import.meta.url));
    const reach = { host: "127.0.0.1", clusterId: "c1", tls };
    const [here, there] = await Promise.all([DaemonHarness.start(), DaemonHarness.start({ workerMain: main, workerExecArgv: [], reach })]);
    const across = new Across(here, there);
    await across.#join();
    return across;
  }

  private constructor(here: DaemonHarness, there: DaemonHarness) {
    this.here = here;
    this.there = there;
    const process_ = driverId(here.nodeId, randomBytes(3).toString("hex"));
    this.client = new Client(
      { process: process_, jobId: "job1" as JobId, namespace: "n" },
      apiHooks(),
      (name, body) => {
        if (name !== "welcome") return name === "warning" || name === "log";
        this.client.ready(body);
        return true;
      },
      () => {},
      { packages: () => packagesOf(here.sessionDir) },
    );
    adoptEngine(
      new ClientEngine(this.client, {
        connected: () => Promise.resolve({ address: "", nodeId: here.nodeId, jobId: "job1", namespace: "n" }),
        close: () => Promise.resolve(),
        exitActor: notAnActor,
        isDriver: true,
        signal: new AbortController().signal,
      }),
    );
  }

  /** A message that the client's node would send. */
  tell<N extends MessageName>(name: N, body: Body<N>): void {
    this.#toClient!.send(name, body);
  }

  /** What the client has said under a name. */
  saidOf<N extends MessageName>(name: N): Body<N>[] {
    return this.said.filter((each) => each.name === name).map((each) => each.body as Body<N>);
  }

  cable(to: Reach): Cable {
    const cable = new Cable(to, this.#ports.pop()!);
    this.#cables.push(cable);
    return cable;
  }

  async #join(): Promise<void> {
    for (let i = 0; i < 10; i++) this.#ports.push(await freePort());
    const { process: processId, jobId, namespace } = this.client.identity;
    const hello = { processId, jobId, pid: process.pid, namespace, logToDriver: false };
    const path = `${this.here.sessionDir}/across.sock`;
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      const toHere = this.#upstream(nodeSocketOf(this.here.sessionDir));
      const toThere = this.#upstream(nodeSocketOf(this.there.sessionDir), "welcome");
      toThere.send("driverHello", hello);
      this.#toClient = new Connection(socket, {
        message: (name, body) => {
          this.said.push({ name, body });
          (THERE.test(name) ? toThere : toHere).send(name, body);
        },
        closed: () => {},
      });
    });
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await this.client.node.connect(
      path,
      (send) => send("driverHello", hello),
      () => {},
    );
    this.client.node.hold();
  }

  #upstream(path: string, unheard?: MessageName): Connection {
    const socket = connect(path);
    this.#sockets.add(socket);
    return new Connection(socket, {
      message: (name, body) => {
        if (name === unheard) return;
        this.#toClient!.send(name, this.#told(name, body) as never);
      },
      closed: () => {},
    });
  }

  /** What the client is told, with the addresses of workers as the test wants them. */
  #told(name: MessageName, body: unknown): unknown {
    const moved = (worker: WorkerAddress): WorkerAddress => {
      this.reaches.push(worker.reach!);
      // An owner of another node has no use for the socket: it is not there.
      rmSync(worker.socket, { force: true });
      return { ...worker, reach: this.changeReach(worker.reach!) };
    };
    if (name === "leaseGrant") {
      const grant = body as Body<"leaseGrant">;
      return { ...grant, worker: moved(grant.worker) };
    }
    const { status } = body as Body<"actorState">;
    if (name !== "actorState" || status.kind !== "alive") return body;
    return { ...(body as object), status: { ...status, address: moved(status.address) } };
  }

  async end(): Promise<void> {
    adoptEngine(undefined);
    this.client.node.letGo();
    this.client.node.destroy();
    for (const cable of this.#cables) {
      cable.cut();
      cable.close();
    }
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([this.here.cleanUp(), this.there.cleanUp()]);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
