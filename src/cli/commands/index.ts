/** All commands, in the order in which the help lists them. */
import type { Command } from "../command.ts";
import { completion } from "./completion.ts";
import { doctor } from "./doctor.ts";
import { drain } from "./drain.ts";
import { jobList, jobLogs, jobStatus, jobStop } from "./job.ts";
import { listNodes, listWorkers } from "./list.ts";
import { microbenchmark } from "./microbenchmark.ts";
import { caCreate, healthCheck, run, token } from "./small.ts";
import { start } from "./start.ts";
import { status } from "./status.ts";
import { stop } from "./stop.ts";
import { jobSubmit, submit } from "./submit.ts";

export const commands: readonly Command[] = [
  start,
  stop,
  status,
  run,
  submit,
  jobSubmit,
  jobList,
  jobStatus,
  jobLogs,
  jobStop,
  listNodes,
  listWorkers,
  drain,
  healthCheck,
  doctor,
  microbenchmark,
  token,
  caCreate,
  completion,
];
