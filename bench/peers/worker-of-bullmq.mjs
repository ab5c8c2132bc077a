// A worker process of BullMQ: `node worker-of-bullmq.mjs SOCKET QUEUE`. Several jobs at once, as its guide advises for short ones.
import { Worker } from "bullmq";

const [, , path, queue] = process.argv;
const worker = new Worker(queue, async () => "ok", {
  connection: { path, maxRetriesPerRequest: null },
  concurrency: 32,
  removeOnComplete: { count: 5000 },
});
await worker.waitUntilReady();
process.on("disconnect", () => process.exit(0));
process.send("ready");
