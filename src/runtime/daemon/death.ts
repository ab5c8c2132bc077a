/** Why a worker ended, put together from its exit, what was done to it, and what it wrote last. */
import { readFileSync } from "node:fs";
import type { DeathReason } from "../../protocol/messages.ts";
import type { Exit } from "./worker-process.ts";

export interface Evidence {
  readonly exit: Exit;
  /** Why the daemon killed it, if it did. */
  readonly killedFor: DeathReason | undefined;
  /** What it said of its end itself. */
  readonly announced: DeathReason | undefined;
  /** It has said hello. */
  readonly registered: boolean;
  /** The kernel has killed for lack of memory meanwhile. */
  readonly kernelOutOfMemory: boolean;
  readonly lastLines: readonly string[];
}

const HEAP_FULL = /heap out of memory|Allocation failed|CALL_AND_RETRY_LAST/;

export function deathReason(evidence: Evidence): DeathReason {
  const { exit, killedFor, announced, registered, kernelOutOfMemory } = evidence;
  const facts = {
    exitCode: exit.code ?? undefined,
    signal: exit.signal ?? undefined,
    lastLines: evidence.lastLines.length > 0 ? [...evidence.lastLines] : undefined,
  };
  if (exit.error !== undefined)
    return { cause: "start-failed", message: `its process could not be started: ${exit.error.message}`, ...facts };
  if (killedFor !== undefined) return { ...killedFor, ...facts };
  if (announced !== undefined) return { ...announced, ...facts };
  if ((exit.signal === "SIGABRT" || exit.code === 134) && evidence.lastLines.some((line) => HEAP_FULL.test(line))) {
    const message = "its JavaScript heap was full: a task needed more memory than V8 allows (--max-old-space-size sets it)";
    return { cause: "out-of-memory", message, ...facts };
  }
  if (exit.signal === "SIGKILL" && kernelOutOfMemory) {
    return { cause: "out-of-memory", message: "the kernel killed it because the machine was out of memory", ...facts };
  }
  const how = exit.signal === null ? `it exited with code ${exit.code}` : `it was killed by signal ${exit.signal}`;
  if (!registered) return { cause: "start-failed", message: `${how} before it was ready`, ...facts };
  if (exit.signal !== null) return { cause: "signal", message: how, ...facts };
  return { cause: "exit", message: `${how}: something in it called process.exit(), or its event loop ran empty`, ...facts };
}

/** How often the kernel has killed a process for lack of memory, as far as it can be read. */
export function kernelKills(): number {
  for (const file of ["/sys/fs/cgroup/memory.events", "/proc/vmstat"]) {
    try {
      const found = /^oom_kill (\d+)$/m.exec(readFileSync(file, "utf8"));
      if (found) return Number(found[1]);
    } catch {
      // Not on this system: the next one may be.
    }
  }
  return 0;
}
