/** A process that runs a StoreService behind a Unix socket, for tests: what the node daemon does, without the rest. */
import { createServer } from "node:net";
import { join } from "node:path";
import { StoreService } from "../../src/memory/service.ts";
import type { ToStore } from "../../src/memory/backend.ts";
import type { ProcessId } from "../../src/protocol/ids.ts";
import { Frames } from "./frames.ts";

const { sessionDir, capacityBytes, spillDir } = JSON.parse(process.argv[2] ?? "") as {
  sessionDir: string;
  capacityBytes: number;
  spillDir?: string;
};
const peers = new Map<ProcessId, Frames>();
const everyone = (name: string, body: object) => {
  for (const peer of peers.values()) peer.send(name, body);
};

const service = new StoreService({
  sessionDir,
  capacityBytes,
  ...(spillDir === undefined ? {} : { spillDir }),
  send: (to, name, body) => peers.get(to)?.send(name, body),
  onSealed: (id, holder, size, contains) => everyone("test.sealed", { id, holder, size, contains: [...contains] }),
  onLost: (id, reason) => everyone("test.lost", { id, reason }),
});

const server = createServer((socket) => {
  let from: ProcessId | undefined;
  const frames = new Frames(socket, (name, body) => {
    if (name === "hello") {
      from = body["processId"] as ProcessId;
      peers.set(from, frames);
      frames.send("welcome", { memory: service.memoryDescription(from), claims: service.claimIndex(from) });
    } else if (name === "test.free") {
      for (const id of body["ids"] as never[]) service.free(id);
    } else if (name === "test.stats") {
      service.check();
      frames.send("test.stats", { call: body["call"], stats: service.stats() });
    } else if (name === "test.claim") {
      const words = service.claims(body["index"] as number)!;
      frames.send("test.stats", { call: body["call"], stats: Atomics.add(words, body["word"] as number, 1) });
    } else if (name === "test.close") {
      void service.close().then(() => process.exit(0));
    } else if (from) service.handle(from, name as ToStore, body as never);
  });
  socket.on("close", () => {
    if (from && peers.delete(from)) service.processLost(from);
  });
  socket.on("error", () => undefined);
});
server.listen(join(sessionDir, "store.sock"), () => process.stdout.write("ready\n"));
// The test process holds the other end: without it there is nothing to serve.
process.stdin.on("end", () => void service.close().then(() => process.exit(0))).resume();
