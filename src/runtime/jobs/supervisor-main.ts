/**
 * The supervisor of a node's jobs, a process of its own beside the daemon: what jobs print is read and written here, where it slows nobody
 * down. It is started with the first job and ends when its daemon closes its stdin, or is gone; then it ends the jobs first.
 */
import { JOB_ID, placesOf } from "./folders.ts";
import { Entry } from "./entry.ts";
import { lineReader, SUPERVISOR_HOME } from "./supervisor-config.ts";
import type { FromSupervisor, RunOrder, ToSupervisor } from "./supervisor-config.ts";

/** What jobs may take to end when the daemon is gone. */
const LAST_GRACE_MS = 1_500;

const home = process.env[SUPERVISOR_HOME] ?? "";
delete process.env[SUPERVISOR_HOME];
const entries = new Map<string, Entry>();
let ending = false;

const say = (line: FromSupervisor): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

function run(order: RunOrder): void {
  if (ending || entries.has(order.jobId)) return;
  const entry = new Entry(order, placesOf(home, order.jobId));
  entries.set(order.jobId, entry);
  void entry
    .run((pid) => say({ started: order.jobId, pid }))
    .then((how) => {
      say({ ended: order.jobId, how });
      entries.delete(order.jobId);
      rest();
    });
}

function rest(): void {
  if (ending && entries.size === 0) process.exit(0);
}

function end(): void {
  if (ending) return;
  ending = true;
  for (const entry of entries.values()) entry.stop(LAST_GRACE_MS);
  rest();
}

// One of a job's own would be taken for a process of that job.
delete process.env[JOB_ID];
process.stdin.setEncoding("utf8").on(
  "data",
  lineReader((text) => {
    const line = JSON.parse(text) as ToSupervisor;
    if ("run" in line) run(line.run);
    else entries.get(line.stop)?.stop();
  }),
);
process.stdin.on("end", end);
process.stdin.on("error", end);
process.stdout.on("error", () => {});
process.on("SIGTERM", end);
for (const signal of ["SIGINT", "SIGHUP"] as const) process.on(signal, () => {});
say({ ready: process.pid });
