/** Objects between the stores of several nodes, over real connections. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MIB, World, pattern } from "./nodes.ts";

describe("transfer", () => {
  it("brings an object to a node that reads it, byte for byte", async (t) => {
    const world = new World(t);
    const [a, b] = await world.many(2);
    for (const size of [0, 1, 100, 65_537, MIB, 3 * MIB + 17]) {
      const bytes = pattern(size, size + 1);
      const id = await a!.put(bytes);
      assert.deepEqual(await b!.get(id), bytes, `${size} bytes`);
      assert.ok(world.objects.get(id)!.nodes.has(b!.id), "its home knows of the copy");
    }
    a!.transfer.check();
    b!.transfer.check();
    assert.equal(b!.transfer.statistics().lines, 1, "one connection for all of them");
  });
});
