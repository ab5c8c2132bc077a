/** The client of submitted jobs for commands: where the HTTP API is they ask control, unless they are given its URL. */
import { loadTls } from "../runtime/network/index.ts";
import type { ClusterStatus } from "../runtime/control/questions.ts";
import { JobClient, JobError } from "../client/index.ts";
import { CommandError } from "./command.ts";
import { secureFetch } from "./secure-fetch.ts";
import { askControl, isUrl, targetOf } from "./target.ts";
import type { Target, TargetOptions } from "./target.ts";

/** Where control leads anew the HTTP API begins a moment later. */
const TAKEOVER_MS = 10_000;
const LOOK_MS = 200;

export async function jobClient(options: TargetOptions): Promise<JobClient> {
  const target = targetOf(options, true);
  const address = await urlOf(target);
  const token = target.token.expose();
  const how = address.startsWith("https:") && target.tlsDir !== undefined ? secureFetch(loadTls(target.tlsDir).ca) : fetch;
  return new JobClient({ address, token, fetch: isUrl(target.address) ? how : roaming(how, options) });
}

/** The head may be another one meanwhile: who leads knows where the API is. What may have been done already is not asked for twice. */
function roaming(how: typeof fetch, options: TargetOptions): typeof fetch {
  let origin: string | undefined;
  return async (input, init = {}) => {
    const asked = input as URL;
    const at = origin === undefined ? asked : new URL(asked.pathname + asked.search, origin);
    try {
      return await how(at, init);
    } catch (error) {
      const refused = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === "ECONNREFUSED";
      const again = (init.method !== "POST" || refused) && !(init.body instanceof ReadableStream) && init.signal?.aborted !== true;
      const now = again ? await urlOf(targetOf(options, true)).catch(() => undefined) : undefined;
      if (now === undefined || new URL(now).origin === at.origin) throw error;
      origin = now;
      return await how(new URL(asked.pathname + asked.search, origin), init);
    }
  };
}

/** Something about one job. That there is none is said as commands say it. */
export async function withJob<T>(options: TargetOptions, id: string, run: (client: JobClient) => Promise<T>): Promise<T> {
  const client = await jobClient(options);
  try {
    return await run(client);
  } catch (error) {
    if (error instanceof JobError && error.reason === "NOT_FOUND") throw new CommandError(`there is no job ${id}. See: mobula job list`);
    throw error;
  }
}

async function urlOf(target: Target): Promise<string> {
  if (isUrl(target.address)) return target.address;
  for (const until = Date.now() + TAKEOVER_MS; ;) {
    const { dashboardUrl, control } = (await askControl(target, { kind: "status" })) as ClusterStatus;
    if (dashboardUrl !== null) return dashboardUrl;
    if (Date.now() > until)
      throw new CommandError(`the cluster at ${control.address} has no HTTP API now: its head is away. See: mobula status`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
