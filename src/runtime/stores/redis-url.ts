/**
 * Where Redis is, from one URL:
 *
 *   redis://[user:password@]host[:port][/database]            rediss:// with TLS
 *   redis+sentinel://[user:password@]host,host:port/master    sentinels, and the name of what they watch
 *   redis+cluster://[user:password@]host,host:port            nodes of a Redis Cluster to ask first
 *
 * After a `?`: `replicas` (how many must have a write), `ca`, `cert`, `key` (files), `serverName`, `passwordFile`,
 * `sentinelUser`, `sentinelPasswordFile`. Nothing secret is ever in a message.
 */
import fs from "node:fs";
import { explain, InvalidOptionError, suggest } from "../../errors/index.ts";

export interface Host {
  readonly host: string;
  readonly port: number;
}

export interface TlsFiles {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly serverName?: string;
}

export interface Login {
  readonly user?: string;
  readonly password?: string;
}

export interface RedisPlace {
  /** For messages. */
  readonly shown: string;
  readonly mode: "single" | "sentinel" | "cluster";
  readonly hosts: readonly Host[];
  readonly login: Login;
  readonly sentinelLogin: Login;
  readonly tls: TlsFiles | undefined;
  readonly database: number;
  /** What the sentinels call it. */
  readonly master: string;
  /** How many replicas must have a write before it is acknowledged. */
  readonly replicas: number;
}

const PARAMETERS = ["replicas", "ca", "cert", "key", "serverName", "passwordFile", "sentinelUser", "sentinelPasswordFile"];
const URL_PARTS = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(?:([^/?#]*)@)?([^/?#@]+)(?:\/([^?#]*))?(?:\?([^#]*))?$/;
const DEFAULT_PORT = { single: 6379, sentinel: 26379, cluster: 6379 };

export function parseRedisUrl(url: string): RedisPlace {
  const match = URL_PARTS.exec(url);
  if (match === null)
    throw wrong("it is not of the form redis://[user:password@]host:port, rediss://, redis+sentinel:// or redis+cluster://");
  const [, scheme = "", kind, credentials, authority = "", rest = "", query = ""] = match;
  const mode = (kind ?? "single") as RedisPlace["mode"];
  const hosts = authority.split(",").map((text) => parseHost(text, DEFAULT_PORT[mode]));
  if (mode === "single" && hosts.length > 1) throw wrong("several hosts need redis+sentinel:// or redis+cluster://");
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys()) {
    if (!PARAMETERS.includes(name)) throw wrong(`it has the unknown parameter ${name.slice(0, 40)}. ${suggest(name, PARAMETERS)}`);
  }
  const master = mode === "sentinel" ? decode(rest) : "";
  if (mode === "sentinel" && !/^[\w.-]+$/.test(master)) throw wrong("the path has to be the name of what the sentinels watch");
  if (mode === "cluster" && rest !== "") throw wrong("a Redis Cluster has no databases, so there is no path");
  if (mode === "single" && !/^\d{0,6}$/.test(rest)) throw wrong("the path has to be the number of a database");
  return {
    shown: `${scheme}${kind === undefined ? "" : `+${kind}`}://${authority}${rest === "" ? "" : `/${rest}`}`,
    mode,
    hosts,
    login: loginOf(credentials, parameters.get("passwordFile")),
    sentinelLogin: {
      user: parameters.get("sentinelUser") ?? undefined,
      password: secretIn(parameters.get("sentinelPasswordFile"), "sentinelPasswordFile"),
    },
    tls: scheme === "rediss" ? tlsOf(parameters) : undefined,
    database: mode === "single" ? Number(rest) : 0,
    master,
    replicas: replicasOf(parameters.get("replicas"), mode),
  };
}

function parseHost(text: string, port: number): Host {
  const match = /^(\[[\da-fA-F:.%]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/.exec(text);
  if (match === null || Number(match[2] ?? port) > 65_535) throw wrong("a host has the form name:port");
  return { host: match[1]!.replace(/^\[|\]$/g, ""), port: Number(match[2] ?? port) };
}

function loginOf(credentials: string | undefined, passwordFile: string | null): Login {
  const fromFile = secretIn(passwordFile, "passwordFile");
  if (credentials === undefined || credentials === "") return { password: fromFile };
  const colon = credentials.indexOf(":");
  const user = decode(colon === -1 ? credentials : credentials.slice(0, colon));
  const password = colon === -1 ? fromFile : decode(credentials.slice(colon + 1));
  return { user: user === "" ? undefined : user, password };
}

/** Where a fail-over can happen, what only the master has may be lost: there one replica must have it too. */
function replicasOf(text: string | null, mode: RedisPlace["mode"]): number {
  if (text === null) return mode === "single" ? 0 : 1;
  if (!/^\d{1,2}$/.test(text)) throw wrong("`replicas` has to be a number");
  return Number(text);
}

function tlsOf(parameters: URLSearchParams): TlsFiles {
  const file = (name: string): Buffer | undefined => {
    const path = parameters.get(name);
    return path === null ? undefined : read(path, name);
  };
  return { ca: file("ca"), cert: file("cert"), key: file("key"), serverName: parameters.get("serverName") ?? undefined };
}

function secretIn(path: string | null, name: string): string | undefined {
  return path === null ? undefined : read(path, name).toString("utf8").trim();
}

function read(path: string, name: string): Buffer {
  try {
    return fs.readFileSync(path);
  } catch (error) {
    throw wrong(`the file that \`${name}\` names cannot be read: ${(error as Error).message}`);
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrong("a % in it is not followed by two hex digits; write %25 for a percent sign");
  }
}

/** The value is not shown: it may hold a password. */
function wrong(why: string): InvalidOptionError {
  return new InvalidOptionError(explain("The URL of Redis cannot be used", why), { option: "redis" });
}
