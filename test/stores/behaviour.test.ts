/** What every control store does, whatever it stands on. Each kind of store runs each test at a place of its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { ControlStoreError, InvalidOptionError } from "../../src/errors/index.ts";
import { WRITE_BYTES_MAX } from "../../src/runtime/stores/contract.ts";
import type { Change, ControlStore, Loaded, OpenOptions } from "../../src/runtime/stores/index.ts";
import { leakChecked } from "../harness/index.ts";
import { bytes, kinds, shown } from "./places.ts";

leakChecked();

const put = (key: string, text: string, table = "actors"): Change => ({ table, key, value: bytes(text) });
const remove = (key: string, table = "actors"): Change => ({ table, key, value: undefined });
const failed = (reason: string) => (error: unknown) => error instanceof ControlStoreError && error.reason === reason;

/** Opens a store that is closed when the test ends. */
async function opened(t: TestContext, store: ControlStore, options?: OpenOptions): Promise<Loaded & { store: ControlStore }> {
  t.after(() => store.close());
  const loaded = await store.open(options);
  return { ...loaded, store };
}

for (const [kind, { missing, place: makePlace }] of Object.entries(kinds)) {
  const skip = missing;

  test(`${kind}: a fresh place is empty; what was written is there when it is opened again`, { skip }, async (t) => {
    const place = await makePlace(t);
    const first = await opened(t, place.store());
    assert.deepEqual(first.entries, []);
    await first.store.write([put("a", "1"), put("b", "2"), put("a", "kv", "kv")]);
    await first.store.write([put("b", "3"), remove("never"), put("", "empty key"), put("schlüssel \0 \n 🙂:", "")]);
    await first.store.close();
    const second = await opened(t, place.store());
    assert.deepEqual(shown(second.entries), {
      "actors/": "empty key",
      "actors/a": "1",
      "actors/b": "3",
      "actors/schlüssel \0 \n 🙂:": "",
      "kv/a": "kv",
    });
    await second.store.write([remove("a"), remove("b"), put("b", "4"), remove("a", "kv"), remove("")]);
    await second.store.close();
    const third = await opened(t, place.store());
    assert.deepEqual(shown(third.entries), { "actors/b": "4", "actors/schlüssel \0 \n 🙂:": "" });
  });

  test(`${kind}: the epoch grows with each leader`, { skip }, async (t) => {
    const place = await makePlace(t);
    const epochs: number[] = [];
    for (let i = 0; i < 4; i++) {
      const { store, epoch } = await opened(t, place.store());
      epochs.push(epoch);
      await store.close();
    }
    assert.ok(
      epochs.every((epoch, i) => Number.isSafeInteger(epoch) && epoch > (epochs[i - 1] ?? 0)),
      epochs.join(),
    );
  });

  test(`${kind}: writes keep their order, in one turn and over many`, { skip }, async (t) => {
    const place = await makePlace(t);
    const { store } = await opened(t, place.store());
    const done: number[] = [];
    const writes: Promise<unknown>[] = [];
    for (let i = 0; i < 300; i++) {
      writes.push(store.write([put("same", String(i)), put(`k${i % 7}`, String(i))]).then(() => done.push(i)));
      if (i % 50 === 49) await writes.at(-1);
    }
    await Promise.all(writes);
    assert.deepEqual(
      done,
      done.toSorted((a, b) => a - b),
    );
    await store.close();
    const again = await opened(t, place.store());
    const expected = Object.fromEntries(Array.from({ length: 7 }, (_, k) => [`actors/k${k}`, String(k + 7 * Math.floor((299 - k) / 7))]));
    assert.deepEqual(shown(again.entries), { ...expected, "actors/same": "299" });
  });

  test(`${kind}: close writes what waits, and later calls are refused`, { skip }, async (t) => {
    const place = await makePlace(t);
    const { store } = await opened(t, place.store());
    let lost = 0;
    store.onLost = () => lost++;
    const writes = [store.write([put("a", "1")]), store.write([put("b", "2")])];
    const closed = store.close();
    assert.equal(store.leads(), false);
    await assert.rejects(store.write([put("c", "3")]), failed("closed"));
    await Promise.all([...writes, closed]);
    await store.close();
    await assert.rejects(store.open(), failed("closed"));
    assert.equal(lost, 0);
    assert.deepEqual(shown((await opened(t, place.store())).entries), { "actors/a": "1", "actors/b": "2" });
  });

  test(`${kind}: while one leads, another is refused and told who it is`, { skip }, async (t) => {
    const place = await makePlace(t);
    assert.equal(await place.store().leader(), undefined);
    const { store, epoch } = await opened(t, place.store(), { holder: "control at host-a, pid 17" });
    assert.equal(store.leads(), true);
    const other = place.store();
    await assert.rejects(other.open(), (error: unknown) => {
      assert.ok(error instanceof ControlStoreError);
      assert.equal(error.reason, "in-use");
      assert.equal(error.holder, "control at host-a, pid 17");
      assert.ok(error.message.includes("control at host-a, pid 17") && error.message.includes(store.place), error.message);
      return true;
    });
    const asking = place.store();
    t.after(() => asking.close());
    assert.deepEqual(await asking.leader(), { epoch, holder: "control at host-a, pid 17" });
    await store.write([put("still", "mine")]);
  });

  test(`${kind}: a standby waits, and leads as soon as the leader closes`, { skip }, async (t) => {
    const place = await makePlace(t);
    const { store, epoch } = await opened(t, place.store());
    const standby = opened(t, place.store(), { waitMs: Infinity, holder: "standby" });
    await store.write([put("a", "1")]);
    const closedAt = performance.now();
    await store.close();
    const next = await standby;
    assert.ok(performance.now() - closedAt < 1500, `${performance.now() - closedAt} ms`);
    assert.ok(next.epoch > epoch);
    assert.deepEqual(shown(next.entries), { "actors/a": "1" });
    await next.store.write([put("b", "2")]);
  });

  test(`${kind}: waiting ends with its time, with its signal, and with close`, { skip }, async (t) => {
    const place = await makePlace(t);
    await opened(t, place.store());
    await assert.rejects(place.store().open({ waitMs: 150 }), failed("in-use"));
    const abort = new AbortController();
    const waiting = place.store().open({ waitMs: Infinity, signal: abort.signal });
    setTimeout(() => abort.abort(new Error("enough")), 50);
    await assert.rejects(waiting, /enough/);
    const closed = place.store();
    const opening = closed.open({ waitMs: Infinity });
    setTimeout(() => void closed.close(), 50);
    await assert.rejects(opening, failed("closed"));
  });

  test(`${kind}: of many that wait one leads at a time, and none is skipped`, { skip }, async (t) => {
    const place = await makePlace(t);
    let leading = 0;
    const epochs = await Promise.all(
      Array.from({ length: 5 }, async (_, i) => {
        const { store, epoch } = await opened(t, place.store(), { waitMs: Infinity });
        assert.equal(++leading, 1);
        await store.write([put(`by${i}`, String(epoch))]);
        leading--;
        await store.close();
        return epoch;
      }),
    );
    assert.equal(new Set(epochs).size, 5);
    const { entries } = await opened(t, place.store());
    assert.equal(entries.length, 5);
  });

  test(`${kind}: before open nothing can be written`, { skip }, async (t) => {
    const place = await makePlace(t);
    const store = place.store();
    t.after(() => store.close());
    assert.equal(store.leads(), false);
    await assert.rejects(store.write([]), failed("closed"));
    await store.open();
    await assert.rejects(store.open(), failed("closed"));
  });

  test(`${kind}: what cannot be stored is refused, and nothing of it is stored`, { skip }, async (t) => {
    const place = await makePlace(t);
    const { store } = await opened(t, place.store());
    await assert.rejects(store.write([put("a", "1"), put("x", "", "not a word")]), InvalidOptionError);
    await assert.rejects(store.write([put("a", "1"), put("half \ud800", "")]), InvalidOptionError);
    const large = { table: "kv", key: "large", value: new Uint8Array(WRITE_BYTES_MAX) };
    await assert.rejects(store.write([put("a", "1"), large]), failed("too-large"));
    await store.write([]);
    await store.write([put("b", "2")]);
    await store.close();
    assert.deepEqual(shown((await opened(t, place.store())).entries), { "actors/b": "2" });
  });

  test(`${kind}: values of every size come back byte by byte`, { skip }, async (t) => {
    const place = await makePlace(t);
    const { store } = await opened(t, place.store());
    const sizes = [0, 1, 511, 512, 513, 65_535, 65_536, 1_000_003, 9_000_000];
    const values = sizes.map((size) => Uint8Array.from({ length: size }, (_, i) => (i * 31 + size) % 251));
    await Promise.all(values.map((value, i) => store.write([{ table: "kv", key: String(sizes[i]), value }])));
    await store.write([{ table: "kv", key: "view", value: values[6]!.subarray(1000, 2000) }]);
    await store.close();
    const { entries } = await opened(t, place.store());
    const back = new Map(entries.map(({ key, value }) => [key, value]));
    assert.equal(back.size, sizes.length + 1);
    for (const [i, size] of sizes.entries()) assert.ok(Buffer.from(values[i]!).equals(back.get(String(size))!), `${size} bytes`);
    assert.ok(Buffer.from(values[6]!.subarray(1000, 2000)).equals(back.get("view")!));
  });

  test(`${kind}: a hundred thousand entries are written and read`, { skip }, async (t) => {
    const place = await makePlace(t);
    const { store } = await opened(t, place.store());
    const writes: Promise<void>[] = [];
    for (let i = 0; i < 100_000; i += 10) {
      writes.push(store.write(Array.from({ length: 10 }, (_, j) => put(`key-${i + j}`, `value of ${i + j}`))));
    }
    await Promise.all(writes);
    await store.close();
    const { entries } = await opened(t, place.store());
    assert.equal(entries.length, 100_000);
    for (const { key, value } of entries) assert.equal(Buffer.from(value).toString(), `value of ${key.slice(4)}`);
  });
}

test("a store that was never opened is closed without a trace", async (t) => {
  for (const { missing, place } of Object.values(kinds)) {
    if (missing !== undefined) continue;
    const store = (await place(t)).store();
    await store.close();
    await assert.rejects(store.open(), failed("closed"));
  }
});
