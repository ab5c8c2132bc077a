/** Small values that control keeps by name: bounded, durable before they are acknowledged, and refused where they are wrong. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KeyValue } from "../../src/core/control/key-value.ts";
import { SavedTables } from "../../src/core/control/tables.ts";
import { ControlServer } from "../../src/runtime/control/server.ts";
import { ask, tokenCredential } from "../../src/runtime/network/index.ts";
import type { Question } from "../../src/runtime/network/index.ts";
import { createControlStore, MemoryPlace } from "../../src/runtime/stores/index.ts";
import { leakChecked } from "../harness/index.ts";
import { token } from "../network/ports.ts";
import { CLUSTER } from "./fake-node.ts";

leakChecked();

const bytes = (text: string): Uint8Array => Buffer.from(text);

test("values are bounded in number and bytes, and listed in order", () => {
  const changed: string[] = [];
  const values = new KeyValue((_table, key) => changed.push(key), { keys: 3, bytes: 10 });
  assert.equal(values.put("n/b", bytes("1234")), "put");
  assert.equal(values.put("n/a", bytes("1234")), "put");
  assert.equal(values.put("n/a", bytes("x"), true), "exists");
  assert.equal(values.put("n/c", bytes("123")), "full");
  assert.equal(values.put("n/b", bytes("12")), "put");
  assert.equal(values.put("m/c", bytes("123")), "put");
  assert.equal(values.put("m/d", bytes("")), "full");
  assert.deepEqual(values.keys("n/"), ["n/a", "n/b"]);
  assert.deepEqual(values.keys("", { after: "m/c", most: 1 }), ["n/a"]);
  assert.equal(values.delete("n/a"), true);
  assert.equal(values.delete("n/a"), false);
  assert.deepEqual(changed, ["n/b", "n/a", "n/b", "m/c", "n/a"]);
  values.check();
  const again = new KeyValue(() => {});
  again.restore(new SavedTables(["n/b", "m/c"].map((key) => ({ table: "value", key, value: values.saved(key)! }))));
  assert.deepEqual([Buffer.from(again.get("n/b")!).toString(), again.get("n/a")], ["12", undefined]);
  again.check();
});

test("what was acknowledged is there when another control goes on, and wrong questions say what is wrong", async (t) => {
  const memory = new MemoryPlace();
  const start = async (): Promise<[ControlServer, (question: Question) => Promise<unknown>]> => {
    const store = createControlStore({ kind: "memory", memory });
    const credentials = tokenCredential(token);
    const onLost = (error: unknown): void => assert.fail(String(error));
    const server = await ControlServer.start({ store, clusterId: CLUSTER, credentials, host: "127.0.0.1", port: 0, log: () => {}, onLost });
    t.after(() => server.close());
    const self = { role: "client" as const, id: "asker", incarnation: 1 };
    return [server, (question) => ask({ ...server.address, self, credentials, expect: { clusterId: CLUSTER } }, question)];
  };
  const [first, askFirst] = await start();
  const value = Buffer.from([0, 255, 7]).toString("base64");
  const named = { namespace: "serve", key: "state/1" };
  assert.deepEqual(await askFirst({ kind: "valuePut", ...named, value }), { done: "put" });
  assert.deepEqual(await askFirst({ kind: "valuePut", ...named, value: "", onlyIfNew: true }), { done: "exists" });
  assert.deepEqual(await askFirst({ kind: "valuePut", namespace: "serve", key: "gone", value }), { done: "put" });
  assert.deepEqual(await askFirst({ kind: "valueDelete", namespace: "serve", key: "gone" }), { deleted: true });
  await assert.rejects(askFirst({ kind: "valuePut", namespace: "a/b", key: "k", value }), /namespace has to be/);
  await assert.rejects(askFirst({ kind: "valuePut", namespace: "a", key: "k".repeat(600), value }), /key has to be at most 512/);
  await assert.rejects(askFirst({ kind: "valueGet", namespace: "a" }), /key has to be a text/);
  await first.close();
  const [, askSecond] = await start();
  assert.deepEqual(await askSecond({ kind: "valueGet", ...named }), { value, found: true });
  assert.deepEqual(await askSecond({ kind: "valueKeys", namespace: "serve", prefix: "" }), ["state/1"]);
  assert.deepEqual(await askSecond({ kind: "valueGet", namespace: "serve", key: "gone" }), { value: "", found: false });
});
