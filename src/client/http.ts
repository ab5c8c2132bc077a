/** One request to the HTTP API and its answer, or the error that says why there is none. Only what browsers and Node both have. */
import { explain, JobError } from "../errors/index.ts";

export interface HttpOptions {
  readonly base: URL;
  readonly token: string | undefined;
  readonly fetch: typeof fetch;
}

export type Body = Uint8Array | ArrayBuffer | Blob | ReadableStream<Uint8Array>;

export interface Asked {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Below the address, such as `api/jobs`. */
  readonly path: string;
  readonly json?: unknown;
  readonly bytes?: Body;
  /** For messages. */
  readonly jobId?: string | undefined;
  /** Until its answer begins, or for all of it with `ask`; absent: as long as it takes. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

declare const document: unknown;

/** The address as a URL: `http://` is put before one that has no scheme. */
export function baseOf(address: string): URL {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(address) ? address : `http://${address}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && (url.protocol === "http:" || url.protocol === "https:") && url.username === "" && url.search === "") {
    if (!url.pathname.endsWith("/")) url.pathname += "/";
    return url;
  }
  throw new JobError(
    explain(
      `The address ${JSON.stringify(address.slice(0, 200))} cannot be used`,
      "",
      "Give the URL of the cluster's HTTP API, such as http://127.0.0.1:8265: mobula start says it",
    ),
    { address, reason: "INVALID_ADDRESS" },
  );
}

/** An answer that is no refusal. Rejects with JobError, or with the signal's own reason. */
export async function send(options: HttpOptions, asked: Asked): Promise<Response> {
  return await exchange(options, asked, (response) => Promise.resolve(response));
}

/** The answer as JSON. */
export async function ask<T>(options: HttpOptions, asked: Asked): Promise<T> {
  return await exchange(options, asked, (response) => response.json() as Promise<T>);
}

async function exchange<T>({ base, token, fetch }: HttpOptions, asked: Asked, read: (response: Response) => Promise<T>): Promise<T> {
  const { method, path, json, bytes, signal, timeoutMs } = asked;
  const url = new URL(path, base);
  const headers: Record<string, string> = {};
  if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
  if (json !== undefined) headers["content-type"] = "application/json";
  else if (bytes !== undefined) headers["content-type"] = "application/octet-stream";
  const body = json === undefined ? bytes : JSON.stringify(json);
  const late = new AbortController();
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => late.abort(), timeoutMs);
  // A body that is a stream goes out while the answer may come already.
  const streams = typeof ReadableStream === "function" && bytes instanceof ReadableStream;
  const init: RequestInit & { duplex?: "half" } = {
    method,
    headers,
    signal: signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]),
    redirect: "error",
    ...(body === undefined ? {} : { body: body as NonNullable<RequestInit["body"]> }),
    ...(streams ? { duplex: "half" } : {}),
  };
  let response: Response | undefined;
  try {
    response = await fetch(url, init);
    if (!response.ok) throw await refusal(response, url, asked);
    return await read(response);
  } catch (error) {
    signal?.throwIfAborted();
    if (late.signal.aborted) throw timedOut(url, timeoutMs!, asked);
    if (error instanceof JobError) throw error;
    throw response !== undefined && error instanceof SyntaxError ? notMobula(response, url, asked) : unreachable(url, error, asked);
  } finally {
    clearTimeout(timer);
  }
}

async function refusal(response: Response, url: URL, { jobId }: Asked): Promise<JobError> {
  const { status } = response;
  const text = await response.text().catch(() => "");
  let said: { code?: unknown; message?: unknown; field?: unknown } | undefined;
  try {
    said = (JSON.parse(text) as { error?: typeof said }).error;
  } catch {
    said = undefined; // It is no answer of ours.
  }
  if (typeof said?.code !== "string" || typeof said.message !== "string") return notMobula(response, url, { jobId });
  const details = { address: url.origin, reason: said.code, status, jobId };
  return new JobError(
    explain(said.message, undefined, ADVICE[said.code]),
    typeof said.field === "string" ? { ...details, field: said.field } : details,
  );
}

const GIVE_TOKEN = "Give the cluster's token: it is in the file named token in the folder of its head, and `mobula token` prints where";
const ADVICE: Readonly<Record<string, string>> = { TOKEN_MISSING: GIVE_TOKEN, TOKEN_WRONG: GIVE_TOKEN };

function unreachable(url: URL, error: unknown, { jobId }: Pick<Asked, "jobId">): JobError {
  const { cause, message } = error as Error & { cause?: { message?: string; code?: string } };
  const why = cause?.message || cause?.code || message;
  return new JobError(explain(`${url.origin} cannot be reached`, why, adviceFor(cause?.code ?? "")), {
    address: url.origin,
    reason: "UNREACHABLE",
    jobId,
    cause: error,
  });
}

function adviceFor(code: string): string {
  if (/CERT|SELF_SIGNED|UNABLE_TO/.test(code)) {
    return "Its certificate has an authority that is not known here: commands take it by --tls-dir, a JobClient by a `fetch` that knows it";
  }
  return typeof document === "undefined"
    ? "Check the address, and whether the head of the cluster runs there (mobula status)"
    : "Check the address, and that the head allows pages of this origin: mobula start --head --allow-origin";
}

function timedOut(url: URL, ms: number, { jobId }: Asked): JobError {
  return new JobError(
    explain(`${url.origin} did not answer within ${ms} ms`, "", "Try again, and look at the log of the cluster's head if that goes on"),
    { address: url.origin, reason: "TIMEOUT", jobId },
  );
}

function notMobula({ status }: Response, url: URL, { jobId }: Pick<Asked, "jobId">): JobError {
  return new JobError(
    explain(
      `What answers at ${url.origin} (status ${status}) is not the HTTP API of mobula`,
      "",
      "Check the address: mobula start says it",
    ),
    { address: url.origin, reason: "NOT_MOBULA", status, jobId },
  );
}
