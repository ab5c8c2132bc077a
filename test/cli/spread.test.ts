/** A short form of `npm run nodes:spread`: tiny tasks of one driver over several nodes, each near the mean. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { spreadOver } from "../../scripts/nodes-spread.ts";
import { leakChecked } from "../harness/index.ts";

leakChecked("at the end");

test("tasks that are to be spread are, over five nodes: each within a tenth of the mean", async (t) => {
  const home = path.join(import.meta.dirname, "../../.tmp", `spread-${process.pid}`);
  fs.mkdirSync(home, { recursive: true, mode: 0o700 });
  t.after(() => fs.rmSync(home, { recursive: true, force: true }));
  // A machine that is busy with other things may keep one node from running at all for a while.
  const { counts, off } = await spreadOver(5, 5000, home, { tries: 3 });
  assert.ok(off <= 0.1, `${counts.join(" ")}`);
});
