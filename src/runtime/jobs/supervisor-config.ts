/** What a node's daemon and the supervisor of its jobs say to each other: one line of JSON each, on the supervisor's stdin and stdout. */
import type { JobEnd } from "../../core/control/jobs.ts";

export interface RunOrder {
  readonly jobId: string;
  readonly entrypoint: readonly string[];
  readonly shell: boolean;
  readonly cwd: string;
  /** All of it. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

export type ToSupervisor = { readonly run: RunOrder } | { readonly stop: string };

export type FromSupervisor =
  | { readonly ready: number }
  | { readonly started: string; readonly pid: number }
  | { readonly ended: string; readonly how: JobEnd };

/** The cluster's folder, in the supervisor's environment. */
export const SUPERVISOR_HOME = "MOBULA_SUPERVISOR_HOME";

/** Splits what comes into lines; a line is at most so long. */
export function lineReader(line: (text: string) => void, most = 64 * 1024 * 1024): (chunk: string) => void {
  let rest = "";
  return (chunk) => {
    rest += chunk;
    if (rest.length > most) throw new Error(`a line has more than ${most} characters`);
    const lines = rest.split("\n");
    rest = lines.pop()!;
    for (const each of lines) if (each !== "") line(each);
  };
}
