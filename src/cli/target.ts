/** Which cluster a command is about, and how it is asked: by its address and its token, from any machine. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ConnectionError } from "../errors/index.ts";
import { nodeOf, nodesHere } from "../runtime/client/nodes-here.ts";
import { ask, homeFolder, tlsFolder, findToken, loadTls, parseAddress, tokenCredential } from "../runtime/network/index.ts";
import type { Question, Secret } from "../runtime/network/index.ts";
import { CommandError, UsageError } from "./command.ts";
import { addresses } from "./values.ts";

/** What `start --head` leaves in its folder: enough to go on after a crash. */
export interface ClusterFile {
  readonly clusterId: string;
  readonly host: string;
  readonly port: number;
  readonly dashboardPort: number;
  /** Pages from there may use the HTTP API. */
  readonly allowOrigins?: readonly string[];
  readonly redis?: string;
  readonly tlsDir?: string;
}

export const clusterFileOf = (dir: string): string => join(dir, "cluster.json");

export function readClusterFile(dir: string): ClusterFile | undefined {
  let text: string;
  try {
    text = readFileSync(clusterFileOf(dir), "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new CommandError(`the file of the cluster cannot be read: ${message}. Look at who owns ${dir}, or name another folder by --dir`);
  }
  try {
    const file = JSON.parse(text) as ClusterFile;
    if (typeof file.clusterId === "string" && typeof file.port === "number") return file;
  } catch {
    // Said below.
  }
  throw new CommandError(`${clusterFileOf(dir)} cannot be read as the file of a cluster. Remove it, or start with --fresh`);
}

export interface Target {
  /** `host:port` of control, several with commas. */
  readonly address: string;
  readonly token: Secret;
  readonly tlsDir: string | undefined;
  readonly dir: string;
}

export interface TargetOptions {
  readonly address?: string;
  readonly dir?: string;
  readonly "tls-dir"?: string;
}

/** `--address`, else MOBULA_ADDRESS, else undefined; checked, but for a URL where those are taken. */
export function namedAddress({ address }: TargetOptions, urls = false): string | undefined {
  const named = address ?? process.env["MOBULA_ADDRESS"];
  if (named === undefined || (named === "" && address === undefined)) return undefined;
  if (!urls || !isUrl(named)) return addresses(address === undefined ? "MOBULA_ADDRESS" : "--address", named).join(",");
  if (URL.canParse(named)) return named;
  throw new UsageError(`${JSON.stringify(named.slice(0, 200))} is no URL. Write one such as http://127.0.0.1:8265, or HOST:PORT`);
}

export const isUrl = (address: string): boolean => /^https?:\/\//i.test(address);

/** The cluster that is named, else the one whose folder is `--dir`. `urls`: that of an HTTP API will do. */
export function targetOf(options: TargetOptions, urls = false): Target {
  const named = namedAddress(options, urls);
  const dir = options.dir ?? homeFolder();
  const file = readClusterFile(dir);
  const address = named === undefined ? addressIn(dir, file) : withStandbys(named, dir);
  if (address === undefined) {
    throw new CommandError(`no cluster is known in ${dir}. Start one by: mobula start --head; or name one by --address HOST:PORT`);
  }
  const token = findToken({ dir });
  if (token === undefined) {
    throw new CommandError(
      `there is no token for the cluster at ${address}. ` +
        `Copy the head's token file to ${join(dir, "token")} (mode 0600), or set MOBULA_TOKEN or MOBULA_TOKEN_FILE`,
    );
  }
  return { address, token: token.token, tlsDir: options["tls-dir"] ?? tlsFolder() ?? file?.tlsDir, dir };
}

function addressIn(dir: string, file: ClusterFile | undefined): string | undefined {
  return nodesHere(dir)[0]?.control.join(",") ?? (file && `${file.host}:${file.port}`);
}

/** Control may be at another address by now: a node of that cluster here knows where. */
function withStandbys(address: string, dir: string): string {
  return [...new Set([...address.split(",").map((each) => each.trim()), ...(nodeOf(address, dir)?.control ?? [])])].join(",");
}

/** Control is started again, or another takes over, within this time. */
const AWAY_MS = 10_000;
const LOOK_AGAIN_MS = 200;
const PASSING: readonly (string | undefined)[] = ["refused", "closed", "timeout", "unreachable"];

/** Asks control, at whichever of its addresses answers. Where one is certain to come back, or may be elsewhere, it is waited for. */
export async function askControl(target: Target, question: Question): Promise<unknown> {
  const addresses = target.address.split(",").map((each) => each.trim());
  const comesBack = addresses.length > 1 || nodeOf(target.address, target.dir) !== undefined;
  for (const until = Date.now() + (comesBack ? AWAY_MS : 0); ;) {
    let failed: unknown;
    for (const address of addresses) {
      try {
        return await askAt(target, address, question);
      } catch (error) {
        failed = error;
        if (!(error instanceof ConnectionError && PASSING.includes(error.reason))) break;
      }
    }
    const passes = failed instanceof ConnectionError && PASSING.includes(failed.reason);
    if (!passes || Date.now() >= until) throw failed;
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

export async function askAt({ token, tlsDir }: Target, address: string, question: Question): Promise<unknown> {
  const self = { role: "client" as const, id: `command-${process.pid}`, incarnation: Date.now() };
  const tls = tlsDir === undefined ? {} : { tls: loadTls(tlsDir) };
  return await ask({ ...parseAddress(address), self, credentials: tokenCredential(token), ...tls }, question);
}
