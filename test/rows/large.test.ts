/** Objects of gigabytes. Their pages are never touched, so they take no memory. */
import assert from "node:assert/strict";
import { constants } from "node:buffer";
import { test } from "node:test";
import * as ray from "mobula";
import { objectStore } from "mobula/state";
import { rejectionOf, sharedCluster } from "./cluster.ts";

const GIB = 2 ** 30;
sharedCluster({ numCpus: 2, objectStoreMemory: 16 * GIB });
const largest = constants.MAX_LENGTH;
const limited = largest <= 4 * GIB;

test("a buffer of 3 GiB is written and read in place, here and in a task", async () => {
  const { array, seal } = await ray.createBuffer(3 * GIB);
  array[3 * GIB - 1] = 7;
  const ref = seal();
  const last = ray.remote((bytes: Uint8Array) => [bytes.length, bytes.at(-1)]);
  assert.deepEqual(await ray.get(last.remote(ref)), [3 * GIB, 7]);
  const [one, two] = await ray.get([ref, ref]);
  one[0] = 1;
  assert.deepEqual([one.at(-1), two[0], two.at(-1)], [7, 0, 7]);
});

test("what is larger than this Node can read is refused where it is made, and what is not is read", async () => {
  const huge = 5 * GIB;
  if (limited) {
    const error = await rejectionOf(ray.createBuffer(huge));
    assert.ok(error instanceof ray.ObjectStoreFullError, String(error));
    assert.match(error.message, /5368709120 bytes.*split/i);
  } else {
    const { array, seal } = await ray.createBuffer(huge);
    array[huge - 1] = 9;
    assert.equal((await ray.get(seal())).at(-1), 9);
  }
  assert.equal((await objectStore())[0]!.capacity, 16 * GIB);
});

test(
  "a value whose parts are larger than that together is refused by put, as an argument and as a result",
  { skip: !limited },
  async () => {
    const parts = (): Uint8Array[] => [new Uint8Array(3 * GIB), new Uint8Array(3 * GIB)];
    const told = (error: unknown): void => {
      const inner = error instanceof ray.TaskError ? error.cause : error;
      assert.ok(inner instanceof ray.ObjectStoreFullError, String(inner));
      assert.match(inner.message, /cannot be read by this version of Node\.js: split it/);
    };
    const thrown = (call: () => unknown): unknown => {
      try {
        call();
      } catch (error) {
        return error;
      }
      return undefined;
    };
    told(thrown(() => ray.put(parts())));
    const count = ray.remote((list: Uint8Array[]) => list.length);
    told(await rejectionOf(Promise.resolve().then(() => ray.get(count.remote(parts())))));
    told(await rejectionOf(ray.get(ray.remote(parts, { maxRetries: 0 }).remote())));
    // In two objects it goes.
    const both = ray.remote((a: Uint8Array, b: Uint8Array) => a.length + b.length);
    const [a, b] = [await ray.createBuffer(3 * GIB), await ray.createBuffer(3 * GIB)];
    assert.equal(await ray.get(both.remote(a.seal(), b.seal())), 6 * GIB);
  },
);
