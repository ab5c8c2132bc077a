/** `mobula job`: what there is of submitted jobs. */
import type { Job } from "../../client/index.ts";
import { command } from "../command.ts";
import { jobClient, withJob } from "../jobs.ts";
import type { Output } from "../output.ts";
import { number } from "../values.ts";
import { DIR, HTTP_ADDRESS, TLS_DIR } from "./options.ts";
import { copyLog } from "./submit.ts";

const WHERE = { address: HTTP_ADDRESS, dir: DIR, "tls-dir": TLS_DIR } as const;

export const jobList = command({
  name: "job list",
  about: "The submitted jobs, the latest first.",
  options: { ...WHERE, limit: { value: "N", about: "At most so many (default 100)" } },
  example: "mobula job list --limit 5",
  async run({ options, output }) {
    const limit = number("limit", options.limit, 1, 10_000) ?? 100;
    const jobs = await (await jobClient(options)).list({ limit: Math.trunc(limit) });
    output.result(jobs, () => table(jobs, output));
    return 0;
  },
});

export const jobStatus = command({
  name: "job status",
  arguments: "ID",
  takes: [1, 1],
  about: "How a job is, and how it ended.",
  options: WHERE,
  example: "mobula job status job-1f0c9a7b2d3e4f56",
  async run({ options, arguments: [id], output }) {
    const job = await withJob(options, id!, (client) => client.status(id!));
    output.result(job, () => describe(job, output));
    return 0;
  },
});

export const jobLogs = command({
  name: "job logs",
  arguments: "ID",
  takes: [1, 1],
  about: "What a job has printed, stdout and stderr.",
  options: { ...WHERE, follow: { about: "Go on until the job has ended", short: "f" } },
  example: "mobula job logs -f job-1f0c9a7b2d3e4f56",
  async run({ options, arguments: [id], output }) {
    return await withJob(options, id!, async (client) => {
      if (options.follow === true && !output.json) {
        await copyLog(client, id!, process.stdout);
        return 0;
      }
      if (options.follow === true) await client.wait(id!);
      const logs = await client.logs(id!);
      if (output.json) output.result({ jobId: id!, logs }, () => "");
      else process.stdout.write(logs);
      return 0;
    });
  },
});

export const jobStop = command({
  name: "job stop",
  arguments: "ID",
  takes: [1, 1],
  about: "End a job: all that it has started is asked to end, and made to five seconds later. One that has ended stays as it is.",
  options: WHERE,
  example: "mobula job stop job-1f0c9a7b2d3e4f56",
  async run({ options, arguments: [id], output }) {
    const job = await withJob(options, id!, (client) => client.stop(id!));
    output.result(job, ({ jobId, status, message }) => `Job ${jobId}: ${status}${message === "" ? "" : `, ${message}`}.`);
    return 0;
  },
});

const textOf = (entrypoint: Job["entrypoint"]): string => (typeof entrypoint === "string" ? entrypoint : entrypoint.join(" "));
const timeOf = (ms: number | null): string => (ms === null ? "" : new Date(ms).toISOString().slice(0, 19).replace("T", " "));

function coloured(status: Job["status"], output: Output): string {
  return output.style(status === "SUCCEEDED" ? "green" : status === "FAILED" || status === "STOPPED" ? "red" : "yellow", status);
}

function table(jobs: readonly Job[], output: Output): string {
  if (jobs.length === 0) return "No job was submitted yet. Submit one by: mobula submit -- CMD";
  const rows = jobs.map(({ jobId, status, submittedAt, endedAt, entrypoint, name }) => {
    const line = textOf(entrypoint).replaceAll(/\s+/g, " ");
    const short = line.length > 60 ? `${line.slice(0, 59)}…` : line;
    return [jobId, coloured(status, output), timeOf(submittedAt), timeOf(endedAt), name ?? "", short];
  });
  return output.table(["JOB", "STATUS", "SUBMITTED (UTC)", "ENDED (UTC)", "NAME", "COMMAND"], rows);
}

function describe(job: Job, output: Output): string {
  const { jobId, name, status, message, exitCode, entrypoint, submittedAt, startedAt, endedAt, nodeId } = job;
  const lines: [string, string][] = [
    ["job", name === null ? jobId : `${jobId} (${name})`],
    ["status", `${coloured(status, output)}${message === "" ? "" : `, ${message}`}`],
    ["exit code", exitCode === null ? "" : String(exitCode)],
    ["command", textOf(entrypoint)],
    ["submitted", timeOf(submittedAt)],
    ["started", timeOf(startedAt)],
    ["ended", timeOf(endedAt)],
    ["node", nodeId ?? ""],
  ];
  return lines.flatMap(([what, value]) => (value === "" ? [] : [`${what.padEnd(11)}${value}`])).join("\n");
}
