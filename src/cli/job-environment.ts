/** What a job is to find where it runs: taken from the options of `mobula submit`, packed, and uploaded. */
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { runtimeEnvOf } from "../api/runtime-env-options.ts";
import type { JobClient, JobRuntimeEnv } from "../client/index.ts";
import { MobulaError } from "../errors/index.ts";
import { FolderStore, uploadEnvironment } from "../runtime/environments/index.ts";
import type { GivenEnvironment } from "../runtime/environments/index.ts";
import { UsageError } from "./command.ts";

export interface EnvironmentOptions {
  readonly "working-dir"?: string;
  readonly exclude?: readonly string[];
  readonly "runtime-env-json"?: string;
  readonly env?: readonly string[];
}

export interface GivenForJob {
  readonly envVars: Readonly<Record<string, string>> | undefined;
  readonly environment: GivenEnvironment | undefined;
}

/** Checked, and nothing done yet. Throws UsageError. `home` is never taken along: the cluster's token is in it. */
export function environmentOf(options: EnvironmentOptions, home: string): GivenForJob {
  const json = objectIn("runtime-env-json", options["runtime-env-json"]);
  const workingDir = options["working-dir"] ?? json["workingDir"];
  const excludes = [...(Array.isArray(json["excludes"]) ? json["excludes"] : []), ...(options.exclude ?? [])];
  const named = variables(options.env ?? []);
  const given = {
    ...json,
    ...(workingDir === undefined ? {} : { workingDir }),
    ...(excludes.length > 0 ? { excludes } : {}),
    ...(Object.keys(named).length > 0 ? { envVars: { ...(json["envVars"] as object | undefined), ...named } } : {}),
  };
  try {
    const { envVars, environment } = runtimeEnvOf(given);
    return { envVars, environment: environment === undefined ? undefined : withoutHome(environment as GivenEnvironment, home) };
  } catch (error) {
    if (error instanceof MobulaError) throw new UsageError(error.message);
    throw error;
  }
}

/** Packed where it lies on this machine, and uploaded, unless it is in the cluster already. */
export async function uploadFor({ envVars, environment }: GivenForJob, client: JobClient): Promise<JobRuntimeEnv | undefined> {
  const own = envVars === undefined ? {} : { envVars };
  if (environment === undefined) return envVars === undefined ? undefined : own;
  const folder = await mkdtemp(path.join(tmpdir(), "mobula-submit-"));
  try {
    const store = new FolderStore(folder);
    const { workingDir, npm, setup } = await uploadEnvironment(environment, {
      store,
      originOf: (url) => url,
      published: async (hash) => {
        const bytes = Readable.toWeb(createReadStream(await store.file(hash))) as ReadableStream<Uint8Array>;
        await client.upload(bytes, { sha256: hash });
      },
    });
    return {
      ...own,
      ...(workingDir === undefined ? {} : { workingDir: workingDir.hash }),
      ...(npm === undefined ? {} : { npm: npm.packages, npmScripts: npm.scripts }),
      ...(setup === undefined || !("module" in setup) ? {} : { setup: setup.module }),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export function objectIn(option: string, text: string | undefined): Record<string, unknown> {
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new UsageError(`--${option} must be a JSON object such as '{"envVars":{"A":"B"}}', and is ${JSON.stringify(text.slice(0, 200))}`);
}

function variables(given: readonly string[]): Record<string, string> {
  const result: Record<string, string> = {};
  for (const each of given) {
    const at = each.indexOf("=");
    if (at < 1) throw new UsageError(`--env must be NAME=VALUE, and is ${JSON.stringify(each.slice(0, 200))}`);
    result[each.slice(0, at)] = each.slice(at + 1);
  }
  return result;
}

function withoutHome(environment: GivenEnvironment, home: string): GivenEnvironment {
  const { workingDir, excludes = [] } = environment;
  if (workingDir === undefined) return environment;
  const inside = path.relative(workingDir, path.resolve(home)).split(path.sep).join("/");
  if (inside === "" || inside === ".." || inside.startsWith("../") || path.isAbsolute(inside)) return environment;
  return { ...environment, excludes: [...excludes, `/${inside.replaceAll(/[\\*?[\]! #]/g, "\\$&")}`] };
}
