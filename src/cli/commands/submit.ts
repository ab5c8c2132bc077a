/** `mobula submit` and `mobula job submit`: a command that runs in the cluster as a job. */
import { once } from "node:events";
import { JobError } from "../../client/index.ts";
import type { Job, JobClient } from "../../client/index.ts";
import { homeFolder } from "../../runtime/network/home.ts";
import { command, UsageError } from "../command.ts";
import type { Values } from "../command.ts";
import { environmentOf, uploadFor } from "../job-environment.ts";
import { jobClient } from "../jobs.ts";
import { printError } from "../output.ts";
import type { Output } from "../output.ts";
import { commandLine } from "../shell-words.ts";
import { number } from "../values.ts";
import { DIR, HTTP_ADDRESS, TLS_DIR } from "./options.ts";

const OPTIONS = {
  address: HTTP_ADDRESS,
  dir: DIR,
  "tls-dir": TLS_DIR,
  "working-dir": {
    value: "DIR|ZIP|TGZ",
    about: "Uploaded, and where the command runs; without .git and node_modules, at most 500 MiB and 100,000 files",
  },
  exclude: { value: "PATTERN", about: "Left out of the working directory, as in .gitignore; may be given more than once", many: true },
  "runtime-env-json": {
    value: "JSON",
    about: 'More of its environment: \'{"npm":["name@1"],"excludes":["data"],"envVars":{"A":"B"},"setup":"./setup.mjs"}\'',
  },
  env: { value: "NAME=VALUE", about: "A variable of the job's environment; may be given more than once", many: true },
  name: { value: "TEXT", about: "For people" },
  weight: { value: "N", about: "Its share of processors beside other jobs that want them (default 1)" },
  priority: { value: "N", about: "A job with a higher one goes first (default 0)" },
  "max-cpus": { value: "N", about: "Processors that its work may have at a time" },
  "max-memory": { value: "BYTES", about: "Memory that its work may ask for at a time" },
  "max-store": { value: "BYTES", about: "Objects that it may keep" },
  "no-wait": { about: "Return when it is submitted, and print its id" },
} as const;

type Options = Values<typeof OPTIONS>;

const definition = {
  arguments: "-- CMD...",
  takes: [1, Number.MAX_SAFE_INTEGER],
  passesOn: "after --",
  about:
    "Run a command in the cluster as a job. Waits for it, prints what it prints, and exits as it does, or with 1 if a signal ended it.",
  options: OPTIONS,
  async run({ options, arguments: words, output }: { options: Options; arguments: readonly string[]; output: Output }): Promise<number> {
    const entrypoint = commandLine(words);
    if (entrypoint.trim() === "") throw new UsageError("submit takes a command after --, and an empty one was given");
    const amounts = {
      ...amount("weight", options.weight),
      ...amount("priority", options.priority, -1e6),
      ...amount("maxCpus", options["max-cpus"]),
      ...amount("maxMemory", options["max-memory"]),
      ...amount("maxStore", options["max-store"]),
    };
    const environment = environmentOf(options, options.dir ?? homeFolder());
    const client = await jobClient(options);
    const runtimeEnv = await uploadFor(environment, client);
    const submitted = await client.submit({
      entrypoint,
      ...amounts,
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(runtimeEnv === undefined ? {} : { runtimeEnv }),
    });
    if (options["no-wait"] === true) {
      output.result(submitted, ({ jobId }) => jobId);
      return 0;
    }
    return await follow(client, submitted.jobId, output);
  },
} as const;

export const submit = command({
  ...definition,
  name: "submit",
  example: "mobula submit --working-dir . --env LEVEL=2 -- node train.mjs --epochs 3",
});

export const jobSubmit = command({
  ...definition,
  name: "job submit",
  example: "mobula job submit --no-wait --name nightly -- 'node collect.mjs | gzip > out.gz'",
});

const OPTION_NAMES = {
  weight: "weight",
  priority: "priority",
  maxCpus: "max-cpus",
  maxMemory: "max-memory",
  maxStore: "max-store",
} as const;

function amount(key: keyof typeof OPTION_NAMES, text: string | undefined, least = 0): Record<string, number> {
  const value = number(OPTION_NAMES[key], text, least);
  if (value === 0 && key !== "priority") throw new UsageError(`--${OPTION_NAMES[key]} must be more than 0`);
  return value === undefined ? {} : { [key]: value };
}

/** Its output is this command's, its end too. With `--json` stdout is for the result alone. */
async function follow(client: JobClient, jobId: string, output: Output): Promise<number> {
  const interrupted = new AbortController();
  const stop = (signal: NodeJS.Signals): void => interrupted.abort(signal);
  for (const signal of SIGNALS) process.on(signal, stop);
  const tell = (text: string): void => {
    // For people: in a file or a pipe what is on stderr is an error.
    if (!output.json && process.stderr.isTTY) process.stderr.write(`${text}\n`);
  };
  tell(`Job ${jobId} was submitted. Its end: mobula job stop ${jobId}`);
  try {
    const { signal } = interrupted;
    await copyLog(client, jobId, output.json ? process.stderr : process.stdout, signal).catch((error: unknown) => {
      if (!(error instanceof JobError) || error.reason !== "LOG_ELSEWHERE") throw error;
      printError("the head is another one now, and what the job has printed lies with the one before");
    });
    const job = await client.wait(jobId, { signal });
    if (output.json) output.result(job, () => "");
    else if (job.status === "SUCCEEDED") tell(`Job ${jobId} succeeded.`);
    else printError(endOf(job));
    const cut = /^Its log in .* is not whole: .*$/m.exec(job.message)?.[0];
    if (cut !== undefined && !output.json) printError(`job ${jobId} has printed more than this. ${cut}`);
    return exitCodeOf(job);
  } catch (error) {
    const { aborted, reason } = interrupted.signal;
    if (!aborted) throw error;
    printError(`job ${jobId} goes on. Its output: mobula job logs --follow ${jobId}; its end: mobula job stop ${jobId}`);
    return reason === "SIGINT" ? 130 : 143;
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop);
  }
}

/** Its last lines, which its message has too, were just printed; one that never started has printed nothing. */
function endOf({ jobId, status, message, startedAt }: Job): string {
  if (status === "STOPPED") return `job ${jobId} was stopped. What it has printed: mobula job logs ${jobId}`;
  const more = startedAt === null ? `More of it: mobula job status ${jobId}` : `What it has printed: mobula job logs ${jobId}`;
  return `job ${jobId} failed: ${message.split("\n")[0]!.replace(/\.$/, "")}. ${more}`;
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

export async function copyLog(client: JobClient, jobId: string, to: NodeJS.WriteStream, signal?: AbortSignal): Promise<void> {
  for await (const text of client.logs(jobId, { follow: true, ...(signal === undefined ? {} : { signal }) })) {
    if (!to.write(text)) await once(to, "drain");
  }
}

function exitCodeOf({ status, exitCode }: Job): number {
  if (status === "SUCCEEDED") return 0;
  return status === "FAILED" && exitCode !== null && exitCode > 0 ? exitCode : 1;
}
