/** What each route does. What comes has been checked; what goes out is JSON, but for logs. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { randomBytes } from "node:crypto";
import type { Submission } from "../../core/control/jobs.ts";
import { printDescription } from "../environments/index.ts";
import type { ClusterStatus } from "../control/questions.ts";
import type { Job } from "../../protocol/job.ts";
import type { JobAnswer } from "../control/job-questions.ts";
import type { ControlClient } from "./control-client.ts";
import { BadField } from "./fields.ts";
import type { LogStreams } from "./logs.ts";
import { openApi } from "./openapi.ts";
import type { Packages } from "./packages.ts";
import { busy, HttpError, notFound } from "./refusal.ts";
import type { RouteName, SubmitBody } from "./routes.ts";

export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  readonly body: unknown;
}

export interface Reply {
  readonly status: number;
  readonly value: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Parts {
  readonly control: Pick<ControlClient, "ask">;
  readonly packages: Packages;
  readonly logs: LogStreams;
  readonly version: string;
}

/** Undefined: it has answered by itself. */
export type Handler = (call: Call, parts: Parts) => Promise<Reply | undefined>;

const LISTED = 1000;
/** A stopped job has ended by then: what it may take, and a little. */
const STOP_MS = 8_000;

const ok = (value: unknown): Reply => ({ status: 200, value });

export const handlers: Readonly<Record<RouteName, Handler>> = {
  health: () => Promise.resolve(ok({ status: "ok" })),
  describe: (_call, { version }) => Promise.resolve(ok(openApi(version))),
  cluster: async (_call, { control }) => ok(await control.ask<ClusterStatus>({ kind: "status" })),

  submitJob: async ({ body }, { control, packages }) => {
    const submission = await submissionOf(body as SubmitBody, packages);
    // The id is made here, so that a submission that is asked for twice is one job.
    const jobId = `job-${randomBytes(8).toString("hex")}`;
    const answer = await control.ask<JobAnswer>({ kind: "jobSubmit", jobId, submission });
    if (answer.kind === "full") throw busy("Too many jobs wait. Wait until some have ended, or stop some.");
    const { status } = jobOf(answer, jobId);
    return { status: 201, value: { jobId, status }, headers: { location: `/api/jobs/${jobId}` } };
  },
  listJobs: async ({ query }, { control }) => {
    const limit = query["limit"] === undefined ? LISTED : Number(query["limit"]);
    return ok(await control.ask<Job[]>({ kind: "jobs", limit }));
  },
  getJob: async ({ params }, { control }) => ok(await find(params["id"]!, control)),
  stopJob: async ({ params }, { control }) => {
    const jobId = params["id"]!;
    let job = jobOf(await control.ask<JobAnswer>({ kind: "jobStop", jobId }), jobId);
    for (const until = Date.now() + STOP_MS; (job.status === "PENDING" || job.status === "RUNNING") && Date.now() < until;) {
      const waitMs = until - Date.now();
      job = jobOf(await control.ask<JobAnswer>({ kind: "job", jobId, known: job.status, waitMs }), jobId);
    }
    return ok(job);
  },
  removeJob: async ({ params }, { control }) => {
    const jobId = params["id"]!;
    const answer = await control.ask<JobAnswer>({ kind: "jobRemove", jobId });
    if (answer.kind === "not over") {
      throw new HttpError(409, "NOT_ENDED", `Job ${jobId} is ${answer.job.status}. Stop it first: POST /api/jobs/${jobId}/stop.`);
    }
    return ok(jobOf(answer, jobId));
  },
  jobLog: async ({ params, query, response }, { control, logs }) => {
    const job = await find(params["id"]!, control);
    const follow = query["follow"] === "1" || query["follow"] === "true";
    await logs.send(response, job, Number(query["offset"] ?? 0), follow);
    return undefined;
  },

  findPackage: async ({ params }, { packages }) => {
    const found = await packages.find(params["sha256"]!);
    if (found === undefined) throw notFound(`There is no package ${params["sha256"]!}.`);
    return ok(found);
  },
  putPackage: async ({ params, request }, { packages }) => {
    const { made, ...info } = await packages.put(params["sha256"]!, request);
    return { status: made ? 201 : 200, value: info };
  },
};

async function find(jobId: string, control: Parts["control"]): Promise<Job> {
  return jobOf(await control.ask<JobAnswer>({ kind: "job", jobId }), jobId);
}

function jobOf(answer: JobAnswer, jobId: string): Job {
  if (answer.kind === "job") return answer.job;
  throw notFound(`There is no job ${jobId}. GET /api/jobs lists those that there are.`);
}

async function submissionOf(body: SubmitBody, packages: Packages): Promise<Submission> {
  const { entrypoint, runtimeEnv, weight = 1, priority = 0, ...rest } = body;
  const words = typeof entrypoint === "string" ? [entrypoint] : entrypoint;
  if (words.reduce((sum, word) => sum + word.length, 0) > 100_000)
    throw new BadField("entrypoint", "entrypoint has more than 100,000 characters.");
  if (typeof entrypoint !== "string" && words[0]!.trim() === "") throw new BadField("entrypoint[0]", "entrypoint[0] must name a command.");
  const environment = runtimeEnv === undefined ? undefined : await environmentOf(runtimeEnv, packages);
  const envVars = runtimeEnv?.envVars;
  return {
    entrypoint: [...words],
    shell: typeof entrypoint === "string",
    weight,
    priority,
    ...rest,
    ...(environment === undefined ? {} : { environment }),
    ...(envVars === undefined ? {} : { envVars }),
  };
}

async function environmentOf(given: NonNullable<SubmitBody["runtimeEnv"]>, packages: Packages): Promise<string | undefined> {
  const { workingDir, npm, npmScripts, setup } = given;
  const hash = workingDir?.replace("sha256:", "");
  if (hash !== undefined) await mustBeThere(hash, "runtimeEnv.workingDir", packages);
  for (const [i, one] of (npm === "lock" ? [] : (npm ?? [])).entries()) {
    if (typeof one !== "string") await mustBeThere(one.hash, `runtimeEnv.npm[${i}].hash`, packages);
  }
  if (npm === "lock" && hash === undefined) {
    throw new BadField("runtimeEnv.npm", 'runtimeEnv.npm is "lock", which needs a workingDir with a package-lock.json.');
  }
  const text = printDescription({
    ...(hash === undefined ? {} : { workingDir: { hash } }),
    ...(npm === undefined ? {} : { npm: { packages: npm, scripts: npmScripts ?? false } }),
    ...(setup === undefined ? {} : { setup: { module: setup } }),
  });
  if (text !== undefined && text.length > 60_000)
    throw new BadField("runtimeEnv.npm", 'runtimeEnv names too many packages. Use npm: "lock".');
  return text;
}

async function mustBeThere(hash: string, at: string, packages: Packages): Promise<void> {
  if ((await packages.use(hash)) !== undefined) return;
  throw new BadField(at, `${at} names package ${hash}, which is not there. Upload it first: PUT /api/packages/${hash}.`);
}
