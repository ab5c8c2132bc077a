/**
 * What the HTTP API asks control about submitted jobs. Shapes are those of the API, so that it passes them on as they are. A repeated
 * question is harmless: whoever had no answer asks again.
 */
import { submission as submissionSchema } from "../../protocol/cluster.ts";
import type { JobId } from "../../protocol/ids.ts";
import type { Job } from "../../protocol/job.ts";
import { isOver } from "../../core/control/jobs.ts";
import type { SubmittedJob } from "../../core/control/jobs.ts";
import type { Question } from "../network/index.ts";
import type { ControlSource } from "./questions.ts";

export type JobAnswer =
  | { readonly kind: "job"; readonly job: Job }
  | { readonly kind: "not there" }
  | { readonly kind: "not over"; readonly job: Job }
  | { readonly kind: "full" };

export const jobQuestions = ["jobSubmit", "jobs", "job", "jobStop", "jobRemove", "jobPackages"] as const;
type JobQuestion = (typeof jobQuestions)[number];

/** Of a listing. */
const LISTED_MAX = 10_000;
const LISTED_CHARACTERS = 16 * 1024 * 1024;
/** Whoever waits for news of a job asks again after so long. */
const WAIT_MAX_MS = 8_000;

export const isJobQuestion = (kind: string): kind is JobQuestion => (jobQuestions as readonly string[]).includes(kind);

export async function answerJobs(source: ControlSource, kind: JobQuestion, question: Question): Promise<unknown> {
  const id = String(question["jobId"]) as JobId;
  const { jobs } = source.machine;
  const told = (): JobAnswer => {
    const job = jobs.submittedJob(id);
    return job === undefined ? { kind: "not there" } : { kind: "job", job: infoOf(id, job) };
  };
  switch (kind) {
    case "jobs":
      return listed(source, Number(question["limit"] ?? LISTED_MAX));
    case "job":
      await changed(source, id, question);
      return told();
    case "jobSubmit": {
      const submission = submissionSchema.check(question["submission"], "submission");
      const done = await source.act((machine, now) => machine.submitted((submissions) => submissions.submit(id, submission), now));
      return done === "full" ? { kind: "full" } : told();
    }
    case "jobStop":
      await source.act((machine, now) => machine.submitted((submissions) => submissions.stop(id), now));
      return told();
    case "jobRemove": {
      const before = told();
      const done = await source.act((machine, now) => machine.submitted((submissions) => submissions.remove(id), now));
      return done === "not over" && before.kind === "job" ? { kind: "not over", job: before.job } : before;
    }
    case "jobPackages":
      return packagesOf(source);
    default:
      return kind satisfies never;
  }
}

/** Until the job has another status than the asker knows, or is gone, or the time is over. */
async function changed({ machine, jobChanged }: ControlSource, id: JobId, question: Question): Promise<void> {
  const { known, waitMs } = question;
  if (typeof known !== "string") return;
  const job = machine.jobs.submittedJob(id);
  if (job === undefined || job.status !== known || isOver(job.status)) return;
  await jobChanged(id, Math.min(WAIT_MAX_MS, Number(waitMs ?? WAIT_MAX_MS)));
}

/** Hashes of packages that jobs need which have not ended. */
function packagesOf({ machine }: ControlSource): string[] {
  const hashes = machine.jobs.open.flatMap(([, { submission }]) => submission.environment?.match(/\b[0-9a-f]{64}\b/g) ?? []);
  return [...new Set(hashes)];
}

function listed({ machine }: ControlSource, limit: number): Job[] {
  const found: Job[] = [];
  let characters = 0;
  for (const [id, job] of machine.jobs.submitted()) {
    const info = infoOf(id, job);
    characters += JSON.stringify(info).length;
    if (found.length >= Math.min(limit, LISTED_MAX) || characters > LISTED_CHARACTERS) break;
    found.push(info);
  }
  return found;
}

function infoOf(jobId: JobId, job: SubmittedJob): Job {
  const { status, message, exitCode, submission, submittedAt, startedAt, endedAt, nodeId } = job;
  const { entrypoint, shell, name, metadata, weight, priority, maxCpus, maxMemory, maxStore } = submission;
  return {
    jobId,
    status,
    message,
    exitCode: exitCode ?? null,
    entrypoint: shell ? (entrypoint[0] ?? "") : entrypoint,
    submittedAt,
    startedAt: startedAt ?? null,
    endedAt: endedAt ?? null,
    name: name ?? null,
    metadata: metadata ?? {},
    weight,
    priority,
    maxCpus: maxCpus ?? null,
    maxMemory: maxMemory ?? null,
    maxStore: maxStore ?? null,
    nodeId: nodeId ?? null,
  };
}
