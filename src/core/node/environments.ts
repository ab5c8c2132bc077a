/**
 * Which environments are made on this node. A worker is started in one only when it is there; who waits for it holds no resources
 * meanwhile. It is let go when neither a worker nor a request wants it.
 */
import type { WorkerPool } from "./pool.ts";
import type { RequestQueue } from "./queue.ts";

export interface EnvironmentPort {
  /** Answered by `environmentMade` or `environmentFailed`. */
  prepareEnvironment(environment: string): void;
  /** It is not needed any more; once for each that was made. */
  releaseEnvironment(environment: string): void;
}

/** What a worker is to be, as a key: equal for workers that can take each other's work. */
export function envKeyOf(envVars: Readonly<Record<string, string>> | undefined, environment?: string): string {
  const variables = envVars === undefined ? "{}" : JSON.stringify(Object.fromEntries(Object.entries(envVars).sort(byName)));
  return environment === undefined ? variables : `${variables}\n${environment}`;
}

const byName = ([a]: [string, string], [b]: [string, string]): number => (a < b ? -1 : 1);

export function partsOfEnvKey(key: string): { envVars: Readonly<Record<string, string>>; environment: string | undefined } {
  // No line ends in JSON.
  const end = key.indexOf("\n");
  const variables = end < 0 ? key : key.slice(0, end);
  return { envVars: JSON.parse(variables) as Record<string, string>, environment: end < 0 ? undefined : key.slice(end + 1) };
}

function environmentOf(key: string): string | undefined {
  const end = key.indexOf("\n");
  return end < 0 ? undefined : key.slice(end + 1);
}

export class EnvironmentTable {
  readonly #port: EnvironmentPort;
  readonly #states = new Map<string, "preparing" | "made">();

  constructor(port: EnvironmentPort) {
    this.#port = port;
  }

  /** Whether a worker with this key could be started now. */
  isMade(key: string): boolean {
    const environment = environmentOf(key);
    return environment === undefined || this.#states.get(environment) === "made";
  }

  /** As `isMade`; if it is not, it will be made. */
  want(key: string): boolean {
    const environment = environmentOf(key);
    if (environment === undefined || this.#states.get(environment) === "made") return true;
    if (!this.#states.has(environment)) {
      this.#states.set(environment, "preparing");
      this.#port.prepareEnvironment(environment);
    }
    return false;
  }

  made(environment: string): void {
    if (this.#states.has(environment)) this.#states.set(environment, "made");
    else this.#port.releaseEnvironment(environment);
  }

  failed(environment: string): void {
    this.#states.delete(environment);
  }

  /** Lets go of what nobody wants. */
  sweep(pool: WorkerPool, queue: RequestQueue): void {
    for (const [environment, state] of this.#states) {
      if (state !== "made" || isWanted(environment, pool, queue)) continue;
      this.#states.delete(environment);
      this.#port.releaseEnvironment(environment);
    }
  }

  check(pool: WorkerPool, queue: RequestQueue): void {
    for (const worker of pool.workers) {
      if (!this.isMade(worker.env)) throw new Error(`worker ${worker.id} is there and its environment is not`);
    }
    for (const [environment, state] of this.#states) {
      if (state === "made" && !isWanted(environment, pool, queue)) throw new Error(`environment ${environment} is kept for nobody`);
    }
  }
}

function isWanted(environment: string, pool: WorkerPool, queue: RequestQueue): boolean {
  for (const worker of pool.workers) if (environmentOf(worker.env) === environment) return true;
  for (const want of queue.wants) if (environmentOf(want.env) === environment) return true;
  return false;
}
