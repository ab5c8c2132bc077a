/** After `shutdown` nothing keeps a program open. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import path from "node:path";
import { test } from "node:test";

test("a program ends at once after shutdown", () => {
  const index = path.resolve(import.meta.dirname, "../../dist/index.js");
  const code = `
    import * as ray from ${JSON.stringify(index)};
    await ray.init();
    await ray.shutdown();
    const at = performance.now();
    process.on("exit", () => process.stdout.write(String(performance.now() - at)));
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", code], { encoding: "utf8", timeout: 60_000 });
  assert.equal(stderr, "");
  // A clock that was left would be one of seconds.
  assert.ok(stdout !== "" && Number(stdout) < 2_000, `it stayed open for ${stdout} ms`);
});
