/**
 * The HTTP server of the dashboard. Every request passes, in this order: Host, Origin, token, route, method, then what the route takes; the
 * first that is wrong is the answer, and nothing of the request is looked at after it. What a connection may take in time, bytes and
 * number is bounded before its token is known.
 */
import { createServer } from "node:http";
import type { IncomingMessage, OutgoingHttpHeaders, RequestListener, Server, ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { jobToken, jobOfToken } from "../network/index.ts";
import type { AllowedHosts, LoadedTls, Secret } from "../network/index.ts";
import { checkBearer, checkHost, checkOrigin } from "../network/http-checks.ts";
import { packageLimits } from "../environments/limits.ts";
import type { JobAnswer } from "../control/job-questions.ts";
import { checkLength, readJson } from "./bodies.ts";
import { BadField } from "./fields.ts";
import { handlers } from "./handlers.ts";
import type { Parts } from "./handlers.ts";
import { defaultLimits } from "./limits.ts";
import type { Limits } from "./limits.ts";
import { clientRefusal, HttpError, notFound, printRefusal, refusalOf } from "./refusal.ts";
import { findRoute } from "./routes.ts";
import type { FoundRoute } from "./routes.ts";

const HEADER_BYTES = 16 * 1024;
/** An upload may take long; what stalls is ended in bodies.ts. */
const REQUEST_MS = 3_600_000;
const IDLE_MS = 30_000;
const TARGET_MAX = 4096;

export interface ApiServerOptions {
  readonly host: string;
  readonly port: number;
  readonly token: Secret;
  readonly hosts: AllowedHosts;
  /** Pages of these origins may ask from a browser. */
  readonly origins: readonly string[];
  readonly tls?: LoadedTls;
  readonly parts: Parts;
  readonly limits?: Limits;
  readonly log: (line: string) => void;
}

export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #server: Server;
  readonly #limits: Limits;

  /** Rejects with the system's error when the port cannot be had. */
  static async start(options: ApiServerOptions): Promise<ApiServer> {
    const server = new ApiServer(options);
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject);
      server.#server.listen({ host: options.host, port: options.port }, resolve);
    });
    server.#server.on("error", (error) => options.log(error.message));
    return server;
  }

  private constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#limits = options.limits ?? defaultLimits;
    const limits = {
      maxHeaderSize: HEADER_BYTES,
      headersTimeout: this.#limits.headersMs,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: IDLE_MS,
      connectionsCheckingInterval: Math.min(2_000, this.#limits.headersMs / 4),
      // Told by a status of our own.
      requireHostHeader: false,
    };
    const listener: RequestListener = (request, response) => void this.#serve(request, response);
    const { tls } = options;
    this.#server =
      tls === undefined
        ? createServer(limits, listener)
        : createSecureServer({ ...limits, key: tls.key, cert: tls.cert, minVersion: "TLSv1.3" }, listener);
    this.#server.maxConnections = this.#limits.connections;
    this.#server.maxHeadersCount = 100;
    // One that waits for it sends its body only once it is wanted.
    this.#server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response, true));
    this.#server.on("checkExpectation", listener);
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
      socket.end(clientRefusal(error.code), () => socket.destroy());
    });
    this.#server.on("upgrade", (_request, socket) => void socket.destroy());
    this.#server.on("connect", (_request, socket) => void socket.destroy());
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #serve(request: IncomingMessage, response: ServerResponse, waits = false): Promise<void> {
    request.on("error", () => {});
    response.on("error", () => {});
    const cors = this.#cors(request);
    try {
      for (const [name, value] of Object.entries({ ...SAFE, ...cors })) response.setHeader(name, value);
      this.#checkFrom(request);
      if (request.method === "OPTIONS" && cors["access-control-allow-origin"] !== undefined) return preflight(response);
      await this.#answer(request, response, waits);
    } catch (error) {
      this.#refuse(request, response, refusalOf(error, this.#options.log));
    }
  }

  #checkFrom({ headers }: IncomingMessage): void {
    const { hosts, origins } = this.#options;
    const refusal = checkHost(headers.host, hosts) ?? checkOrigin(headers, origins);
    if (refusal !== undefined) throw new HttpError(refusal.status, refusal.code, refusal.message);
  }

  async #answer(request: IncomingMessage, response: ServerResponse, waits: boolean): Promise<void> {
    const { parts } = this.#options;
    const target = request.url ?? "";
    const [path = "", query = ""] = target.split("?", 2);
    const found = target.length > TARGET_MAX ? { allowed: [] } : findRoute(request.method ?? "", path);
    await this.#checkToken(request, found);
    if (!("route" in found)) throw unknownRoute(request, path, found.allowed);
    const { route, name } = found;
    const params = checkTexts(route.params, found.params);
    const asked = checkQuery(route.query, query);
    checkLength(request, route.body === "package" ? packageLimits.bytes : this.#limits.jsonBytes);
    if (waits) response.writeContinue();
    const body =
      route.body === undefined || route.body === "package" ? undefined : route.body.check(await readJson(request, this.#limits), "");
    const reply = await handlers[name]({ request, response, params, query: asked, body }, parts);
    if (reply === undefined) return;
    const { status, value, headers } = reply;
    respond(response, status, `${JSON.stringify(value)}\n`, headers);
  }

  /** The cluster's token opens every route, a job's those that say so, while that job runs. */
  async #checkToken(request: IncomingMessage, found: FoundRoute | { readonly allowed: readonly string[] }): Promise<void> {
    const access = "route" in found ? found.route.access : "cluster";
    if (access === "everybody") return;
    const { token, parts } = this.#options;
    const given = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? "")?.[1] ?? "";
    const job = jobOfToken(given);
    const accepted: [string, Secret][] = [["", token]];
    if (job !== undefined) accepted.push([job, jobToken(token, job)]);
    const result = checkBearer(request.headers.authorization, accepted);
    if ("refusal" in result) throw new HttpError(result.refusal.status, result.refusal.code, result.refusal.message, CHALLENGE);
    const { credential } = result;
    if (credential === "") return;
    const answer = await parts.control.ask<JobAnswer>({ kind: "job", jobId: credential });
    if (answer.kind !== "job" || (answer.job.status !== "PENDING" && answer.job.status !== "RUNNING")) {
      throw new HttpError(403, "TOKEN_WRONG", "The token is that of a job that does not run any more.");
    }
    const own = "route" in found && found.params["id"] === credential;
    if (access === "any job" || (access === "own job" && own)) return;
    throw new HttpError(
      403,
      "TOKEN_OF_JOB",
      "The token of a job allows no more than to look at that job and at the cluster, and to stop the job.",
    );
  }

  /** Headers for browsers: only to pages of an origin that is allowed. */
  #cors({ headers }: IncomingMessage): Record<string, string> {
    const { origin } = headers;
    if (origin === undefined || !this.#options.origins.includes(origin)) return { vary: "Origin" };
    return { vary: "Origin", "access-control-allow-origin": origin };
  }

  #refuse(request: IncomingMessage, response: ServerResponse, error: HttpError): void {
    // A stream that has begun can only be cut: whoever reads it sees that it is not whole.
    if (response.headersSent || response.destroyed) return void response.destroy();
    const unread = !request.complete && hasBody(request);
    respond(response, error.status, printRefusal(error), unread ? { ...error.headers, connection: "close" } : error.headers);
    if (unread) linger(request, this.#limits);
  }
}

/** Answers are data, of now, for whoever asked. */
const SAFE = { "cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer" };
const CHALLENGE = { headers: { "www-authenticate": "Bearer" } };

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;

function respond(response: ServerResponse, status: number, json: string, headers: OutgoingHttpHeaders = {}): void {
  const length = Buffer.byteLength(json);
  response.writeHead(status, { "content-type": "application/json; charset=utf-8", "content-length": length, ...headers });
  response.end(json);
}

function preflight(response: ServerResponse): void {
  response.writeHead(204, {
    "access-control-allow-methods": "GET, POST, PUT, DELETE",
    "access-control-allow-headers": "authorization, content-type",
    "access-control-max-age": "600",
  });
  response.end();
}

function unknownRoute({ method }: IncomingMessage, path: string, allowed: readonly string[]): HttpError {
  if (allowed.length === 0) return notFound(`There is no ${path.slice(0, 200)} here. GET /openapi.json describes what there is.`);
  const message = `${path} does not take ${method}, but ${allowed.join(" and ")}.`;
  return new HttpError(405, "METHOD_NOT_ALLOWED", message, { headers: { allow: allowed.join(", ") } });
}

function checkTexts(fields: FoundRoute["route"]["params"], given: Readonly<Record<string, string>>): Record<string, string> {
  const checked: Record<string, string> = {};
  for (const [name, field] of Object.entries(fields ?? {})) {
    try {
      checked[name] = field.check(given[name], name);
    } catch (error) {
      // What is no id is the id of nothing.
      if (name === "id") throw notFound(`There is no job ${JSON.stringify(given[name]?.slice(0, 100))}.`);
      throw error;
    }
  }
  return checked;
}

function checkQuery(fields: FoundRoute["route"]["query"], text: string): Record<string, string> {
  const checked: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(text)) {
    const field = fields !== undefined && Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (field === undefined) throw new BadField(name.slice(0, 100), `There is no parameter ${JSON.stringify(name.slice(0, 100))} here.`);
    checked[name] = field.check(value, name);
  }
  return checked;
}

/** Reads a little on, so that a sender that is in the middle of its body sees the answer, and then closes. */
function linger(request: IncomingMessage, { lingerMs, lingerBytes }: Limits): void {
  // It may have gone meanwhile.
  const socket = request.socket as typeof request.socket | null;
  if (socket === null || request.destroyed) return;
  const end = (): void => void socket.destroy();
  const timer = setTimeout(end, lingerMs);
  let bytes = 0;
  request.on("data", (part: Buffer) => {
    bytes += part.byteLength;
    if (bytes > lingerBytes) end();
  });
  socket.once("close", () => clearTimeout(timer));
  request.resume();
}
