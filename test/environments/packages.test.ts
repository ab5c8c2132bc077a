/** Packages between nodes: the head has what was uploaded anywhere, and a folder of packages is bounded. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import type { NodePrefix } from "../../src/protocol/ids.ts";
import { PackageExchange } from "../../src/runtime/cluster/package-exchange.ts";
import { Uploads } from "../../src/runtime/dashboard/uploads.ts";
import { FolderStore } from "../../src/runtime/environments/store.ts";
import { freshFolder, leakChecked, waitUntil } from "../harness/index.ts";

leakChecked();

const HEAD = "aaaaaa" as NodePrefix;
const hashOf = (bytes: string): string => createHash("sha256").update(bytes).digest("hex");

interface Node {
  readonly exchange: PackageExchange;
  readonly store: FolderStore;
}

function nodes(folder: string, names: readonly NodePrefix[]): Map<NodePrefix, Node> {
  const all = new Map<NodePrefix, Node>();
  for (const name of names) {
    const exchange: PackageExchange = new PackageExchange({
      want: (to, body) => setImmediate(() => all.get(to)?.exchange.wanted(name, body)),
      part: (to, body) => setImmediate(() => all.get(to)?.exchange.came(name, body)),
      keep: (to, body) => setImmediate(() => all.get(to)?.exchange.keepHere(body)),
      head: () => (name === HEAD ? undefined : HEAD),
      fetch: async (hash) => void (await all.get(name)!.store.file(hash)),
      others: () => [...all.keys()].filter((other) => other !== name),
      read: (hash, offset, length) => all.get(name)!.store.part(hash, offset, length),
    });
    all.set(name, { exchange, store: new FolderStore(path.join(folder, name), exchange) });
  }
  return all;
}

test("a package outlives the node that it was uploaded to: the head has fetched it", async (t) => {
  const folder = freshFolder(t);
  const [maker, later] = ["bbbbbb", "cccccc"] as [NodePrefix, NodePrefix];
  const all = nodes(folder, [HEAD, maker, later]);
  const { store, exchange } = all.get(maker)!;
  const bytes = "x".repeat(3_000_000);
  const draft = await store.draft();
  fs.writeFileSync(draft, bytes);
  await store.adopt(draft, hashOf(bytes));
  assert.equal(await store.publish(hashOf(bytes)), true);
  await waitUntil(() => fs.existsSync(path.join(folder, HEAD, hashOf(bytes))), "the head has it");
  all.delete(maker);
  exchange.stop();
  assert.equal(await text(await all.get(later)!.store.get(hashOf(bytes))), bytes);
  await assert.rejects(all.get(later)!.store.get(hashOf("never")), /No living node of this cluster has it/);
  for (const each of all.values()) each.exchange.stop();
});

test("a folder of packages that has too much lets go of what was used longest ago, and of nothing that is new", async (t) => {
  const folder = freshFolder(t);
  const store = new FolderStore(folder);
  const now = Date.now();
  const names = ["a", "b", "c"].map((name) => hashOf(name));
  for (const [i, name] of names.entries()) {
    fs.writeFileSync(path.join(folder, name), "x".repeat(100));
    fs.utimesSync(path.join(folder, name), now / 1000 - 10_000 + i, now / 1000 - 10_000 + i);
  }
  await store.file(names[0]!);
  await store.trim(250, now);
  const left = (): string[] => fs.readdirSync(folder).sort();
  assert.deepEqual(left(), [names[0]!, names[2]!].sort());
  await store.trim(50, now);
  assert.deepEqual(left(), [names[0]!], "it was used a moment ago");

  // As a node sees it: by a link in its session's folder.
  const seen = path.join(freshFolder(t), "seen");
  fs.symlinkSync(folder, seen);
  const old = now / 1000 - 10_000;
  const waited = hashOf("waited");
  fs.writeFileSync(path.join(folder, waited), Buffer.alloc(1_000));
  fs.utimesSync(path.join(folder, waited), old, old);
  await new Uploads(folder).touch(waited);
  await new FolderStore(seen).trim(50, now);
  assert.deepEqual(left(), [names[0]!, waited].sort(), "a job may wait for what was uploaded");
});
