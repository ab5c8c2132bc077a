/** GPUs are counted as the driver lists them, and named as CUDA names them. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { countGpus, deviceNames, visibleDevices } from "../../src/runtime/gpus.ts";
import { freshFolder } from "../harness/index.ts";

test("GPUs are counted by what the driver lists, else by the devices, and no more than are visible", (t) => {
  const root = `${freshFolder(t)}/`;
  assert.equal(countGpus(undefined, root), 0);
  for (const name of ["nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm"]) {
    fs.mkdirSync(path.join(root, "dev"), { recursive: true });
    fs.writeFileSync(path.join(root, "dev", name), "");
  }
  assert.equal(countGpus(undefined, root), 3);
  fs.mkdirSync(path.join(root, "proc/driver/nvidia/gpus/0000:01:00.0"), { recursive: true });
  fs.mkdirSync(path.join(root, "proc/driver/nvidia/gpus/0000:02:00.0"), { recursive: true });
  assert.equal(countGpus(undefined, root), 2);
  assert.equal(countGpus("1", root), 1);
  assert.equal(countGpus("", root), 0);
  assert.equal(countGpus("GPU-a,GPU-b,GPU-c", root), 2);
});

test("GPUs have the names that the node sees them by", () => {
  assert.deepEqual(visibleDevices("2, 5"), ["2", "5"]);
  assert.deepEqual(visibleDevices("1,-1,2"), ["1"]);
  assert.equal(visibleDevices(undefined), undefined);
  assert.equal(deviceNames([0, 1], undefined), "0,1");
  assert.equal(deviceNames([1], ["2", "GPU-5"]), "GPU-5");
});
