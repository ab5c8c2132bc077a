/** The program's side of the first worker, which it starts beside its daemon: see ../daemon/first-worker.ts. */
import type { ChildProcess } from "node:child_process";
import type { Readable } from "node:stream";
import { workerId } from "../../protocol/ids.ts";
import { prestartedFor } from "../daemon/config.ts";
import type { DaemonConfig } from "../daemon/config.ts";
import type { FirstExit } from "../daemon/first-worker.ts";
import { killGroup, spawnWorker } from "../daemon/worker-process.ts";

export interface FirstWorker {
  readonly pid: number;
  /** For the daemon to inherit. */
  readonly output: readonly [stdout: Readable, stderr: Readable];
  /** The daemon has it. */
  handOver(daemon: ChildProcess): void;
  kill(): void;
}

/** Undefined where the daemon is to start none by itself, or where none can be started: then the daemon finds out why. */
export function startFirstWorker(config: DaemonConfig): FirstWorker | undefined {
  if (prestartedFor(config) === 0) return undefined;
  let child: ChildProcess;
  try {
    child = spawnWorker(config, workerId(config.nodeId, 0), {}, undefined, true);
  } catch {
    return undefined;
  }
  // It is said by an event as well.
  child.on("error", () => {});
  const { pid, stdout, stderr } = child;
  if (pid === undefined || stdout === null || stderr === null) return undefined;
  child.unref();
  let over = false;
  child.on("exit", () => (over = true));
  return {
    pid,
    output: [stdout, stderr],
    handOver(daemon) {
      stdout.destroy();
      stderr.destroy();
      child.on("exit", (code, signal) => {
        const line: FirstExit = { firstExit: { code, signal } };
        if (daemon.stdin!.writable) daemon.stdin!.write(`${JSON.stringify(line)}\n`);
      });
    },
    // After its end the number may be another's.
    kill: () => over || killGroup(pid),
  };
}
