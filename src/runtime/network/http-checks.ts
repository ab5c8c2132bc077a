/**
 * What an HTTP request must pass before any route sees it, in this order: Host (a name that this server answers to, so that a web
 * page of elsewhere cannot reach it by a name of its own), Origin (no page of elsewhere), token. Pure: headers in, a refusal or
 * the credential's name out.
 */
import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import { isLoopback } from "./address.ts";
import type { Secret } from "./secret.ts";

/** An answer in place of the route's, as `{ error: { code, message } }` with this status. */
export interface HttpRefusal {
  readonly status: 401 | 403;
  readonly code: "WRONG_HOST" | "WRONG_ORIGIN" | "TOKEN_MISSING" | "TOKEN_WRONG";
  readonly message: string;
}

/** Names, beside loopback ones, by which this server may be called: where it listens, and what its user has configured. */
export type AllowedHosts = readonly string[];

interface HostAndPort {
  readonly host: string;
  readonly port: string;
}

/** Host and port of an authority, lower case, without the brackets of IPv6; undefined for what is none. */
function split(authority: string): HostAndPort | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::(\d{1,5}))?$/i.exec(authority);
  const host = (match?.[1] ?? match?.[2])?.toLowerCase().replace(/\.$/, "");
  if (host === undefined || host === "" || (match?.[1] !== undefined && isIP(host) !== 6)) return undefined;
  return { host, port: match?.[3] ?? "" };
}

function isAllowed(host: string, allowed: AllowedHosts): boolean {
  if (host === "localhost" || host.endsWith(".localhost") || isLoopback(host)) return true;
  return allowed.some((name) => name.toLowerCase() === host);
}

/** `host`: the header as it came; every request must have one. */
export function checkHost(host: string | undefined, allowed: AllowedHosts): HttpRefusal | undefined {
  const named = host === undefined ? undefined : split(host);
  if (named !== undefined && isAllowed(named.host, allowed)) return undefined;
  const shown = named === undefined ? "no host name" : named.host.slice(0, 100);
  const message = `This server does not answer to ${shown}. Use the address that it was started with (--host), or localhost.`;
  return { status: 403, code: "WRONG_HOST", message };
}

/**
 * A request of a web page says where the page is from. Only pages of this very server may ask, and of the origins that its user has
 * allowed, each written as browsers send it; programs say nothing. What browsers add by themselves (`Sec-Fetch-Site`) must agree.
 */
export function checkOrigin(headers: IncomingHttpHeaders, allowed: readonly string[] = []): HttpRefusal | undefined {
  const { origin, host } = headers;
  if (origin !== undefined && allowed.includes(origin)) return undefined;
  const site = headers["sec-fetch-site"];
  const wrong: HttpRefusal = {
    status: 403,
    code: "WRONG_ORIGIN",
    message: "Requests of web pages from elsewhere are refused. Send the request from a program, or from a page of this server.",
  };
  if (site !== undefined && site !== "same-origin" && site !== "none") return wrong;
  if (origin === undefined) return undefined;
  const page = /^https?:\/\/([^/]+)$/i.exec(origin)?.[1];
  const from = page === undefined ? undefined : split(page);
  const own = host === undefined ? undefined : split(host);
  if (from === undefined || own === undefined || from.host !== own.host || from.port !== own.port) return wrong;
  return undefined;
}

export type BearerResult = { readonly credential: string } | { readonly refusal: HttpRefusal };

const MISSING: HttpRefusal = {
  status: 401,
  code: "TOKEN_MISSING",
  message: "Send the cluster's token as the header Authorization: Bearer TOKEN. `mobula token` says which file has it.",
};
const WRONG: HttpRefusal = { status: 403, code: "TOKEN_WRONG", message: "The token is not the one of this cluster." };

/** Which of these credentials the header proves. All are compared, each in constant time, so that time tells nothing. */
export function checkBearer(authorization: string | undefined, accepted: Iterable<readonly [name: string, secret: Secret]>): BearerResult {
  const given = /^Bearer +([!-~]{1,1024}) *$/i.exec(authorization ?? "")?.[1];
  if (given === undefined) return { refusal: MISSING };
  let credential: string | undefined;
  for (const [name, secret] of accepted) if (secret.equals(given)) credential ??= name;
  return credential === undefined ? { refusal: WRONG } : { credential };
}

/** All three in their order. `open`: a route that needs no token; then there is no credential. */
export function checkRequest(
  headers: IncomingHttpHeaders,
  allowed: AllowedHosts,
  accepted: Iterable<readonly [name: string, secret: Secret]>,
  open = false,
): BearerResult {
  const refusal = checkHost(headers.host, allowed) ?? checkOrigin(headers);
  if (refusal !== undefined) return { refusal };
  return open ? { credential: "" } : checkBearer(headers.authorization, accepted);
}
