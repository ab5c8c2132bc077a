/**
 * `npm run build && npm run stores:kill [-- TIMES]`: the long form of the kill test of the durable control store. A writer is
 * killed with SIGKILL at random moments, 1,000 times, also in the middle of compactions; after each, all that had been
 * acknowledged must be there. Prints how many writes there were; ends with 1 when one was lost.
 */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { killWriters } from "../test/stores/kills.ts";

const times = Number(process.argv[2] ?? 1000);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "stores-kill-"));
try {
  const startedAt = performance.now();
  const writes = await killWriters({ kind: "durable", folder, compactMinBytes: 64 * 1024 }, times, 300);
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  console.log(`${times} kills in ${seconds} s, ${writes} writes, none that was acknowledged is missing`);
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}
