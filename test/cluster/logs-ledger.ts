/** What owners were told, held against the state of the actor: logs-world.ts. */
import assert from "node:assert/strict";
import type { Body, Payload } from "../../src/protocol/messages.ts";
import type { SimOwner, SimWorker } from "./logs-nodes.ts";

export const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
export const valueOf = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));

export const addressOf = ({ id }: SimWorker): Body<"actorPlaced">["worker"] => ({ processId: id, pid: 1, socket: "" });

/** `state`: owner, counter and attempt of each call that it has. `lives`: it is the state of an actor that is not over. */
export function checkTold(owners: readonly SimOwner[], state: readonly string[], lives: boolean): void {
  const keys = state.map((line) => line.slice(0, line.lastIndexOf(" ")));
  assert.equal(new Set(keys).size, keys.length, `a call is there twice: ${keys.join(", ")}`);
  for (const { id, alive, tasks, failed } of owners) {
    const mine = keys.filter((key) => key.startsWith(id)).map((key) => Number(key.split(" ")[1]));
    assert.deepEqual(
      mine,
      mine.toSorted((a, b) => a - b),
      `calls of ${id} are out of order`,
    );
    if (!alive) continue;
    for (const task of tasks) {
      assert.equal(task.state, "done", `call ${task.counter} of ${id} is open`);
      const key = `${id} ${task.counter}`;
      const [ref] = task.returns;
      if (ref!.state === "failed") {
        if (lives) assert.ok(!keys.includes(key), `call ${key} failed (${failed.get(task)}), and is in the state`);
      } else if (lives) {
        const place = valueOf((ref!.payload as Payload & { kind: "inline" }).bytes) as number;
        assert.equal(keys[place], key, `what ${key} was told`);
      }
    }
  }
}
