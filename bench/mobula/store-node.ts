/**
 * As much of a node as transfer needs: a store, a port, a Transfer. One is in the driver and gets; the other is a process of its own
 * (`node store-node.ts BYTES`), has one object, and says its port.
 */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { openStoreClient } from "../../src/memory/client.ts";
import { StoreService } from "../../src/memory/service.ts";
import { driverId, putId } from "../../src/protocol/ids.ts";
import type { NodeId, ObjectId } from "../../src/protocol/ids.ts";
import { listen, Secret, tokenCredential } from "../../src/runtime/network/index.ts";
import { Transfer } from "../../src/runtime/transfer/index.ts";

export const SOURCE = "000001000000" as NodeId;
export const READER = "000002000000" as NodeId;
export const OBJECT = putId(driverId(SOURCE, "800000"), 1);
const CLUSTER = "bench";

export interface StoreNode {
  readonly store: StoreService;
  readonly transfer: Transfer;
  readonly port: number;
  put(id: ObjectId, bytes: number): Promise<void>;
  close(): Promise<void>;
}

export interface StoreNodeOptions {
  readonly id: NodeId;
  /** Of its object. */
  readonly bytes: number;
  readonly sourcePort: number;
  readonly checksums: "always" | "wire";
  readonly token: string;
  readonly came: () => void;
}

export async function storeNode({ id, bytes, sourcePort, checksums, token, came }: StoreNodeOptions): Promise<StoreNode> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "bench-node-"));
  const handlers = new Map<string, (body: never) => void>();
  const store = new StoreService({
    sessionDir: folder,
    capacityBytes: Math.max(2 ** 26, bytes + 2 ** 24),
    send: (_, name, body) => queueMicrotask(() => handlers.get(name)?.(body as never)),
    onSealed: () => {},
    onLost: () => {},
  });
  const self = { role: "node", id, incarnation: 1 } as const;
  const credentials = tokenCredential(new Secret(token));
  const transfer = new Transfer({
    store,
    self,
    clusterId: CLUSTER,
    credentials,
    checksums,
    addressOf: () => ({ host: "127.0.0.1", port: sourcePort }),
    locate: (object) => transfer.located(object, bytes, [SOURCE]),
    announce: (_, there) => there && came(),
  });
  const listener = await listen({
    host: "127.0.0.1",
    port: 0,
    credentials,
    clusterId: CLUSTER,
    self,
    onConnection: (connection) => transfer.accept(connection),
  });
  const driver = driverId(id, "800000");
  return {
    store,
    transfer,
    port: listener.port,
    put: async (object, size) => {
      const client = openStoreClient({
        memory: store.memoryDescription(driver),
        connection: {
          send: (name, body) => queueMicrotask(() => store.handle(driver, name, body)),
          on: (name, handler) => void handlers.set(name, handler as never),
        },
      });
      const writable = await client.createAsync(object, size);
      const block = new Uint8Array(Math.min(size, 2 ** 24)).fill(7);
      for (let at = 0; at < size; at += block.byteLength) writable.write(at, block.subarray(0, size - at));
      writable.seal(driver, []);
      await new Promise((resolve) => setImmediate(resolve));
      client.close();
    },
    close: async () => {
      listener.close();
      transfer.close();
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

if (process.argv[1] === import.meta.filename) {
  const [bytes, token] = [Number(process.argv[2]), process.argv[3]!];
  const node = await storeNode({ id: SOURCE, bytes, sourcePort: 0, checksums: "wire", token, came: () => {} });
  await node.put(OBJECT, bytes);
  process.on("disconnect", () => void node.close().then(() => process.exit(0)));
  process.send!(node.port);
}
