/** Loops of several nodes. */
import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import path from "node:path";
import type { LoopMaker, Loops } from "../definitions.ts";
import { OBJECT, READER, storeNode } from "./store-node.ts";

const transfer =
  (checksums: "always" | "wire"): LoopMaker =>
  async (size) => {
    const bytes = size(2 ** 30);
    const token = randomBytes(16).toString("hex");
    const child = fork(path.join(import.meta.dirname, "store-node.ts"), [String(bytes), token], { execArgv: ["--import", "tsx"] });
    const sourcePort = await new Promise<number>((resolve, reject) => {
      child.once("message", (message) => resolve(message as number));
      child.once("exit", (code) => reject(new Error(`the source ended with ${code}`)));
    });
    let came: (() => void) | undefined;
    const reader = await storeNode({ id: READER, bytes, sourcePort, checksums, token, came: () => came!() });
    const once = async (): Promise<number> => {
      const whole = new Promise<void>((resolve) => (came = resolve));
      const startedAt = performance.now();
      reader.transfer.want(OBJECT, "bench", "get");
      await whole;
      const seconds = (performance.now() - startedAt) / 1000;
      reader.store.free(OBJECT);
      return bytes / 1e9 / seconds;
    };
    // The memory of both is fresh at first.
    await once();
    return {
      measure: once,
      close: async () => {
        await reader.close();
        child.disconnect();
        await new Promise((resolve) => child.once("exit", resolve));
      },
    };
  };

export const loops: Loops = { "node-to-node": transfer("wire"), "node-to-node-checked": transfer("always") };
