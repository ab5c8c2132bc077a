/**
 * The routes of the HTTP API, defined once: what each takes is checked by it, the description at /openapi.json is written from it, and
 * tests read it. What they do is in handlers.ts.
 */
import { bool, constant, dict, either, list, number, object, optional, text } from "./fields.ts";
import type { Checked, Field, JsonSchema } from "./fields.ts";
import { packageLimits } from "../environments/limits.ts";

/** Who may call a route: whoever has the cluster's token; also the job that `{id}` names; every job; everybody. */
export type Access = "cluster" | "own job" | "any job" | "everybody";

export interface Answer {
  readonly about: string;
  readonly type?: "application/json" | "text/plain";
  readonly schema?: JsonSchema;
}

export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** With `{name}` for a part of it. */
  readonly path: string;
  readonly access: Access;
  readonly about: string;
  readonly params?: Readonly<Record<string, Field<string>>>;
  readonly query?: Readonly<Record<string, Field<string>>>;
  /** JSON, or bytes that are not kept in memory. */
  readonly body?: Field<unknown> | "package";
  /** By status. What every route may answer besides is in openapi.ts. */
  readonly answers: Readonly<Record<number, Answer>>;
}

const ENTRY_CHARACTERS = 100_000;
const SHA256 = /^[0-9a-f]{64}$/;
const sha256 = text({ most: 64, pattern: SHA256, expected: "a sha256 as 64 hex digits in lower case" });

const npmPackage = either(
  text({ least: 1, most: 4096, pattern: /^(?![-./~]|file:)[^\n]+$/, expected: 'a package of the registry such as "name@range"' }),
  object({ file: text({ least: 1, most: 255, pattern: /^[\w.@+-]+$/ }), hash: sha256 }, "A package that was uploaded"),
  (value) => (typeof value === "object" ? "b" : "a"),
);

const runtimeEnv = object(
  {
    workingDir: optional(
      text({
        most: 80,
        pattern: /^(sha256:)?[0-9a-f]{64}$/,
        expected: "the sha256 of a package that was uploaded by PUT /api/packages/{sha256}",
        about: "The sha256 of an uploaded package, which is unpacked as the working directory",
      }),
    ),
    excludes: optional(
      list(text({ most: 4096 }), {
        most: 10_000,
        about: "In gitignore's syntax. It has been applied by whoever packed the folder; here it is only checked",
      }),
    ),
    envVars: optional(dict(text({ most: 32 * 1024 }), { most: 1000, key: /^[^=\0]{1,256}$/ })),
    npm: optional(
      either(
        constant("lock", "Those of package-lock.json in the working directory"),
        list(npmPackage, { most: 1000 }),
        (value) => (Array.isArray(value) ? "b" : "a"),
        "Packages of npm",
      ),
    ),
    npmScripts: optional(bool("Whether install scripts of these packages are run")),
    setup: optional(text({ least: 1, most: 4096, about: "A module of the working directory that each worker imports first" })),
  },
  "What the job and its work find where they run",
);

export const submitBody = object({
  entrypoint: either(
    text({ least: 1, most: ENTRY_CHARACTERS, pattern: /\S/, about: "A command line of the shell" }),
    list(text({ most: ENTRY_CHARACTERS }), { least: 1, most: 1000, about: "A command and its arguments, without a shell" }),
    (value) => (Array.isArray(value) ? "b" : "a"),
    "What is run, in the working directory",
  ),
  runtimeEnv: optional(runtimeEnv),
  name: optional(text({ most: 256, about: "For people" })),
  metadata: optional(dict(text({ most: 4096 }), { most: 100, about: "Kept with the job" })),
  weight: optional(number({ least: 0, above: true, most: 1e6, about: "Its share of processors beside other jobs, 1 by default" })),
  priority: optional(number({ least: -1e6, most: 1e6, about: "A job with a higher one goes first; 0 by default" })),
  maxCpus: optional(number({ least: 0, above: true, about: "Processors that its work may have at a time" })),
  maxMemory: optional(number({ least: 0, above: true, about: "Bytes of memory that its work may ask for at a time" })),
  maxStore: optional(number({ least: 0, above: true, about: "Bytes of objects that it may keep" })),
});
export type SubmitBody = Checked<typeof submitBody>;

const jobId = text({ most: 64, pattern: /^[\w-]{1,64}$/, expected: "the id of a job" });
const wholeNumber = (most: number, about: string): Field<string> =>
  text({ most: 16, pattern: /^\d{1,15}$/, expected: `a whole number up to ${most}`, about });
const flag = (about: string): Field<string> => text({ most: 5, pattern: /^(0|1|true|false)$/, expected: "1 or 0", about });

const time = { type: ["number", "null"], description: "Milliseconds since 1970" };
const amount = { type: ["number", "null"] };
const status = { enum: ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED"] };
export const jobSchema: JsonSchema = {
  type: "object",
  properties: {
    jobId: { type: "string" },
    status,
    message: { type: "string", description: "What it waits for, or how it has ended" },
    exitCode: { type: ["integer", "null"], description: "Null also for one that a signal has ended" },
    entrypoint: { anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }] },
    submittedAt: { type: "number", description: "Milliseconds since 1970" },
    startedAt: time,
    endedAt: time,
    name: { type: ["string", "null"] },
    metadata: { type: "object", additionalProperties: { type: "string" } },
    weight: { type: "number" },
    priority: { type: "number" },
    maxCpus: amount,
    maxMemory: amount,
    maxStore: amount,
    nodeId: { type: ["string", "null"], description: "Where its entry point runs" },
  },
  required: ["jobId", "status", "message", "exitCode", "entrypoint", "submittedAt", "startedAt", "endedAt", "name", "metadata"],
};
const ofJob = { $ref: "#/components/schemas/Job" };
const submitted = { type: "object", properties: { jobId: { type: "string" }, status }, required: ["jobId", "status"] };
const packageSchema = {
  type: "object",
  properties: { sha256: { type: "string" }, size: { type: "integer", description: "Bytes" } },
  required: ["sha256", "size"],
};
const amounts = { type: "object", additionalProperties: { type: "number" } };
const resources = { type: "object", properties: { total: amounts, available: amounts }, required: ["total", "available"] };
const clusterSchema = {
  type: "object",
  properties: {
    control: {
      type: "object",
      properties: { pid: { type: "integer" }, address: { type: "string" }, role: { type: "string" } },
      required: ["pid", "address", "role"],
    },
    nodes: {
      type: "array",
      items: {
        type: "object",
        properties: {
          nodeId: { type: "string" },
          address: { type: "string" },
          alive: { type: "boolean", description: "Dead ones are listed for an hour" },
          head: { type: "boolean" },
          pid: { type: "integer" },
          resources,
          labels: { type: "object", additionalProperties: { type: "string" } },
        },
        required: ["nodeId", "address", "alive", "head", "pid", "resources", "labels"],
      },
    },
    resources,
    pending: {
      type: "array",
      items: {
        type: "object",
        properties: { resources: amounts, count: { type: "integer" }, reason: { type: "string" } },
        required: ["resources", "count", "reason"],
      },
    },
  },
  required: ["control", "nodes", "resources", "pending"],
};
const aJob: Answer = { about: "The job", schema: ofJob };

export const routes = {
  health: {
    method: "GET",
    path: "/healthz",
    access: "everybody",
    about: "Whether this server runs",
    answers: { 200: { about: "It does", schema: { type: "object", properties: { status: { const: "ok" } } } } },
  },
  describe: {
    method: "GET",
    path: "/openapi.json",
    access: "any job",
    about: "This description",
    answers: { 200: { about: "OpenAPI 3.1", schema: { type: "object" } } },
  },
  submitJob: {
    method: "POST",
    path: "/api/jobs",
    access: "cluster",
    about: "Submit a job",
    body: submitBody,
    answers: { 201: { about: "It was submitted, and is started as soon as it may be", schema: submitted } },
  },
  listJobs: {
    method: "GET",
    path: "/api/jobs",
    access: "cluster",
    about: "The submitted jobs, the latest first",
    query: { limit: wholeNumber(10_000, "At most so many; default 1000") },
    answers: { 200: { about: "Jobs", schema: { type: "array", items: ofJob } } },
  },
  getJob: {
    method: "GET",
    path: "/api/jobs/{id}",
    access: "own job",
    about: "One job",
    params: { id: jobId },
    answers: { 200: aJob },
  },
  removeJob: {
    method: "DELETE",
    path: "/api/jobs/{id}",
    access: "cluster",
    about: "Take a job that has ended out of the list, with its log",
    params: { id: jobId },
    answers: { 200: { about: "It was removed; this is what it was", schema: ofJob }, 409: { about: "It has not ended: stop it first" } },
  },
  jobLog: {
    method: "GET",
    path: "/api/jobs/{id}/logs",
    access: "own job",
    about: "What the job has printed, stdout and stderr. Of a very long log the beginning and the end are kept",
    params: { id: jobId },
    query: {
      follow: flag("1: goes on until the job has ended"),
      offset: wholeNumber(Number.MAX_SAFE_INTEGER, "From this byte on; default 0"),
    },
    answers: { 200: { about: "The log", type: "text/plain" } },
  },
  stopJob: {
    method: "POST",
    path: "/api/jobs/{id}/stop",
    access: "own job",
    about: "End a job: SIGTERM to all that it has started, SIGKILL five seconds later. Answers when it has ended, or after a while",
    params: { id: jobId },
    answers: { 200: aJob },
  },
  findPackage: {
    method: "GET",
    path: "/api/packages/{sha256}",
    access: "cluster",
    about: "Whether a package was uploaded and is still there",
    params: { sha256 },
    answers: { 200: { about: "It is there", schema: packageSchema } },
  },
  putPackage: {
    method: "PUT",
    path: "/api/packages/{sha256}",
    access: "cluster",
    about:
      "Upload a package, zip or tar.gz, by the sha256 of its bytes: " +
      `at most ${packageLimits.bytes / 2 ** 20} MiB and ${packageLimits.entries} files`,
    params: { sha256 },
    body: "package",
    answers: { 200: { about: "It was there already", schema: packageSchema }, 201: { about: "It was stored", schema: packageSchema } },
  },
  cluster: {
    method: "GET",
    path: "/api/cluster",
    access: "any job",
    about: "What `mobula status --json` prints",
    answers: { 200: { about: "Nodes, resources, what waits", schema: clusterSchema } },
  },
} as const satisfies Record<string, Route>;

export type RouteName = keyof typeof routes;

export interface FoundRoute {
  readonly name: RouteName;
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

/** The route of a request; else the methods that its path has, none for a path that is not known. What answers GET answers HEAD. */
export function findRoute(method: string, path: string): FoundRoute | { readonly allowed: readonly string[] } {
  const parts = path.split("/");
  const allowed: string[] = [];
  for (const [name, route] of Object.entries(routes) as [RouteName, Route][]) {
    const params = match(route.path.split("/"), parts);
    if (params === undefined) continue;
    if (route.method === (method === "HEAD" ? "GET" : method)) return { name, route, params };
    allowed.push(...(route.method === "GET" ? ["GET", "HEAD"] : [route.method]));
  }
  return { allowed };
}

function match(wanted: readonly string[], parts: readonly string[]): Record<string, string> | undefined {
  if (wanted.length !== parts.length) return undefined;
  const params: Record<string, string> = {};
  for (const [i, part] of wanted.entries()) {
    const name = /^\{(\w+)\}$/.exec(part)?.[1];
    if (name === undefined && part !== parts[i]) return undefined;
    if (name !== undefined) params[name] = decoded(parts[i]!);
  }
  return params;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
