/** Too little memory on the machine: a threshold that is always passed stands in for it. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import * as ray from "mobula";
import { victimOf } from "../../src/runtime/daemon/memory-watch.ts";
import { freshFolder } from "../harness/index.ts";
import { rejectionOf, sharedCluster } from "./cluster.ts";

process.env["MOBULA_MEMORY_THRESHOLD"] = "0.000001";
sharedCluster({ numCpus: 2 });

test("when the machine is out of memory a task is ended and tried again, then OutOfMemoryError names its worker", async (t) => {
  const folder = freshFolder(t);
  const never = ray.remote(
    async (place: string) => {
      fs.writeFileSync(path.join(place, String(process.pid)), "");
      await new Promise(() => {});
    },
    { maxRetries: 1, name: "glutton" },
  );
  const error = await rejectionOf(ray.get(never.remote(folder), { timeoutMs: 60_000 }));
  assert.ok(error instanceof ray.OutOfMemoryError, String(error));
  const { pid, processId, nodeId, functionName } = error;
  const ran = fs.readdirSync(folder);
  assert.ok(ran.length <= 2 && ran.includes(String(pid)), `${ran.join()} and ${pid}`);
  assert.match(error.message, new RegExp(`Task glutton lost its worker process ${pid} \\(the last of 2 attempts\\): it ran out of memory`));
  assert.match(error.message, /the machine was out of memory: \d+\.\d GiB of \d+\.\d GiB were in use, 0\.\d GiB of them by this worker/i);
  assert.match(error.message, /Use less memory per task/);
  assert.deepEqual([typeof processId, nodeId, functionName], ["string", ray.getRuntimeContext().nodeId, "glutton"]);
});

test("an actor that is ended for lack of memory says so", async () => {
  const Glutton = ray.remote(
    class Glutton {
      eat(): Promise<void> {
        return new Promise(() => {});
      }
    },
  );
  const error = await rejectionOf(ray.get(Glutton.remote().eat.remote(), { timeoutMs: 60_000 }));
  assert.ok(error instanceof ray.ActorDiedError, String(error));
  assert.match(error.message, /Glutton\.eat failed.*the machine was out of memory/);
  assert.ok(error.pid! > 0);
});

test("the newest of the large processes is ended, not the small ones", () => {
  const processes = [10, 90, 60, 100].map((size, age) => ({ size, age }));
  assert.equal(victimOf(processes)?.age, 1);
  assert.equal(victimOf([{ size: 0 }]), undefined);
  assert.equal(victimOf([]), undefined);
});
