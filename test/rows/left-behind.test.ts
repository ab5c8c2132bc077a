/** Tasks that a call has left behind: they live in its process, whatever becomes of others that have used it. */
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import * as ray from "mobula";
import { waitUntil } from "../harness/index.ts";
import { sharedCluster } from "./cluster.ts";
import { hold, release } from "./hold.ts";

sharedCluster({ numCpus: 1 });

const increment = ray.remote((value: number) => value + 1, { numCpus: 0 });
/** Returns the ref of a task that waits, and where it waits. */
const leave = ray.remote((box: { late: ray.ObjectRef<number> }) => ({ ref: increment.remote(box.late), pid: process.pid }));
const where = ray.remote(() => process.pid);

class Caller {
  pids(): Promise<number> {
    return ray.get(where.remote());
  }
}

test("an owner that dies while it has a worker leaves alone what others have left behind there", async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "mobula-left-"));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const held = ray.remote((place: string) => hold(place).then(() => 41), { numCpus: 0 });
  const box = { late: held.remote(folder) };
  const left = await ray.get(leave.remote(box));
  const caller = ray.remote(Caller, { numCpus: 0 }).remote();
  await waitUntil(async () => (await ray.get(caller.pids.remote())) === left.pid, "the actor's task runs in that process");
  await ray.kill(caller);
  await assert.rejects(ray.get(caller.pids.remote()), ray.ActorDiedError);
  release(folder);
  assert.equal(await ray.get(left.ref), 42);
});
