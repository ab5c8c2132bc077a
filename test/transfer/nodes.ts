/** Nodes for tests of transfer: each a store, a port and a Transfer, with one directory of objects for all in the place of their homes. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { openStoreClient } from "../../src/memory/client.ts";
import type { StoreClient } from "../../src/memory/contract.ts";
import { StoreService } from "../../src/memory/service.ts";
import { driverId, putId } from "../../src/protocol/ids.ts";
import type { NodeId, ObjectId, ProcessId } from "../../src/protocol/ids.ts";
import { listen, Secret, tokenCredential } from "../../src/runtime/network/index.ts";
import type { Address, Authenticated, Listener, TlsMaterial } from "../../src/runtime/network/index.ts";
import { BULK, Transfer } from "../../src/runtime/transfer/index.ts";
import type { TransferOptions } from "../../src/runtime/transfer/index.ts";

export const MIB = 2 ** 20;
const CLUSTER = "c1";
const credentials = tokenCredential(Secret.random());

interface Entry {
  size: number;
  readonly nodes: Set<NodeId>;
  failure?: { readonly message: string };
}

export interface NodeOptions extends Partial<Omit<TransferOptions, "store" | "self">> {
  readonly capacityBytes?: number;
  readonly tls?: TlsMaterial;
  /** Objects as files, as where there is no shared memory. */
  readonly files?: boolean;
}

/** What the homes of all objects know. */
export class World {
  readonly nodes: TestNode[] = [];
  readonly objects = new Map<ObjectId, Entry>();
  /** How often anybody asked for an object. */
  readonly asked = new Map<ObjectId, number>();

  constructor(t: TestContext) {
    t.after(() => this.close());
  }

  async node(options: NodeOptions = {}): Promise<TestNode> {
    const node = await TestNode.start(this, (this.nodes.length + 1).toString(16).padStart(6, "0"), options);
    this.nodes.push(node);
    return node;
  }

  async many(count: number, options: NodeOptions = {}): Promise<TestNode[]> {
    const nodes: TestNode[] = [];
    for (let i = 0; i < count; i++) nodes.push(await this.node(options));
    return nodes;
  }

  locate(node: TestNode, id: ObjectId): void {
    this.asked.set(id, (this.asked.get(id) ?? 0) + 1);
    const entry = this.objects.get(id);
    if (entry === undefined) return;
    node.transfer.located(id, entry.size, [...entry.nodes], entry.failure);
  }

  async close(): Promise<void> {
    for (const node of this.nodes) await node.stop();
  }
}

export class TestNode {
  readonly id: NodeId;
  readonly process: ProcessId;
  readonly store: StoreService;
  readonly transfer: Transfer;
  readonly client: StoreClient;
  readonly accepted: Authenticated[] = [];
  readonly address: { host: string; port: number };
  readonly #world: World;
  readonly #folder: string;
  readonly #listener: Listener;
  #puts = 0;
  #stopped = false;

  static async start(world: World, prefix: string, options: NodeOptions): Promise<TestNode> {
    const started: TestNode[] = [];
    const id = `${prefix}000000` as NodeId;
    const self = { role: "node", id, incarnation: 1 } as const;
    const { tls } = options;
    const listener = await listen({
      host: "127.0.0.1",
      port: 0,
      credentials,
      clusterId: CLUSTER,
      self,
      onConnection: (connection) => {
        const [node] = started;
        if (connection.peer.purpose !== BULK || node === undefined) return void connection.socket.destroy();
        node.accepted.push(connection);
        node.transfer.accept(connection);
      },
      ...(tls === undefined ? {} : { tls }),
    });
    started.push(new TestNode(world, id, listener, options));
    return started[0]!;
  }

  private constructor(world: World, id: NodeId, listener: Listener, options: NodeOptions) {
    this.#world = world;
    this.id = id;
    this.#listener = listener;
    this.address = { host: "127.0.0.1", port: listener.port };
    this.#folder = mkdtempSync(join(tmpdir(), "mobula-transfer-test-"));
    this.process = driverId(id, "800000");
    const handlers = new Map<string, (body: never) => void>();
    const { capacityBytes, files, ...transferOptions } = options;
    this.store = new StoreService({
      ...(files === true ? { backend: "files" } : {}),
      sessionDir: this.#folder,
      capacityBytes: capacityBytes ?? 64 * MIB,
      // As over a connection: later.
      send: (_, name, body) => queueMicrotask(() => handlers.get(name)?.(body as never)),
      onSealed: (object, _, size) => void world.objects.set(object, { size, nodes: new Set([id]) }),
      onLost: (object) => void world.objects.get(object)?.nodes.delete(id),
    });
    this.transfer = new Transfer({
      clusterId: CLUSTER,
      credentials,
      addressOf: (node): Address | undefined => world.nodes.find((other) => other.id === node)?.address,
      locate: (object) => world.locate(this, object),
      announce: (object, there) => {
        const nodes = world.objects.get(object)?.nodes;
        if (there) nodes?.add(id);
        else nodes?.delete(id);
      },
      ...transferOptions,
      store: this.store,
      self: { role: "node", id, incarnation: 1 },
    });
    const { process, store } = this;
    this.client = openStoreClient({
      memory: store.memoryDescription(process),
      connection: {
        send: (name, body) => queueMicrotask(() => store.handle(process, name, body)),
        on: (name, handler) => void handlers.set(name, handler as never),
      },
    });
  }

  async put(bytes: Uint8Array): Promise<ObjectId> {
    const object = await this.client.createAsync(putId(this.process, ++this.#puts), bytes.byteLength);
    object.write(0, bytes);
    object.seal(this.process, []);
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(this.#world.objects.has(object.id), "its home knows it");
    return object.id;
  }

  async get(id: ObjectId): Promise<Uint8Array> {
    return (await this.client.read(id)).bytes;
  }

  /** As if its machine had been switched off. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#listener.close();
    this.client.close();
    this.transfer.check();
    this.store.check();
    this.transfer.close();
    await this.store.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Bytes that differ everywhere. */
export function pattern(length: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let x = seed >>> 0 || 1;
  for (let i = 0; i < words.length; i++) words[i] = x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
  return new Uint8Array(words.buffer, 0, length);
}
