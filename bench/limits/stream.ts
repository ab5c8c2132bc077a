/** The limit of transfer between nodes: one stream over loopback, read by `onread`, from warm memory into warm memory. */
import { fork } from "node:child_process";
import net from "node:net";
import path from "node:path";
import type { LoopMaker, Loops } from "../definitions.ts";

/** The reader of `stream-source.mjs`. */
const stream: LoopMaker = async (size) => {
  const bytes = size(2 ** 30);
  const child = fork(path.join(import.meta.dirname, "stream-source.mjs"), [String(bytes)], { execArgv: [] });
  const port = await new Promise<number>((resolve, reject) => {
    child.once("message", (message) => resolve(message as number));
    child.once("exit", (code) => reject(new Error(`the source ended with ${code}`)));
  });
  const memory = new Uint8Array(bytes).fill(1);
  let at = 0;
  let done: (() => void) | undefined;
  const socket = net.connect({
    port,
    host: "127.0.0.1",
    noDelay: true,
    onread: {
      // As large as what is written at a time.
      buffer: () => memory.subarray(at, Math.min((Math.floor(at / 2 ** 20) + 1) * 2 ** 20, bytes)),
      callback: (length) => {
        at += length;
        if (at < bytes) return true;
        at = 0;
        done!();
        return true;
      },
    },
  });
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return {
    measure: async () => {
      const whole = new Promise<void>((resolve) => (done = resolve));
      const startedAt = performance.now();
      socket.write("x");
      await whole;
      return bytes / 1e6 / (performance.now() - startedAt);
    },
    close: async () => {
      socket.destroy();
      child.disconnect();
      await new Promise((resolve) => child.once("exit", resolve));
    },
  };
};

export const loops: Loops = { "node-to-node": stream, "node-to-node-checked": stream };
