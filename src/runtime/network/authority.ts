/**
 * The folder of a cluster's certificates, as `mobula ca create` makes it and `--tls-dir` names it:
 *
 *   ca.pem        the authority's certificate; every machine has it
 *   ca-key.pem    its key, which makes more certificates; it stays where it was made
 *   node.pem      this machine's certificate
 *   node-key.pem  and its key
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { InvalidOptionError, explain } from "../../errors/index.ts";
import { newAuthority, newCertificate } from "./certificates.ts";
import { privateFolder } from "./token-file.ts";
import type { TlsMaterial } from "./tls.ts";

const FILES = { ca: "ca.pem", caKey: "ca-key.pem", cert: "node.pem", key: "node-key.pem" } as const;
const AUTHORITY_DAYS = 3650;
const NODE_DAYS = 730;
/** Every machine reaches itself. */
const OWN_HOSTS = ["localhost", "127.0.0.1", "::1"];

export interface LoadedTls extends TlsMaterial {
  /** When the certificate ends, milliseconds since 1970. */
  readonly expiresAt: number;
  readonly hosts: string;
}

function refuse(what: string, why: string, todo: string, value: string, cause?: unknown): InvalidOptionError {
  return new InvalidOptionError(explain(`${what}: ${why}`, undefined, todo), { option: "tlsDir", value, cause });
}

/** Makes an authority in a folder (0700) that has none. */
export function createAuthority(folder: string, { days = AUTHORITY_DAYS }: { days?: number } = {}): void {
  privateFolder(folder);
  for (const name of [FILES.ca, FILES.caKey]) {
    const file = join(folder, name);
    const todo = "Name another folder, or remove the files if no node uses them";
    if (existsSync(file)) throw refuse(`There is an authority in ${folder}`, `${name} exists`, todo, folder);
  }
  const { cert, key } = newAuthority(days);
  writeFileSync(join(folder, FILES.caKey), key, { mode: 0o600, flag: "wx", flush: true });
  writeFileSync(join(folder, FILES.ca), cert, { mode: 0o600, flag: "wx", flush: true });
}

/**
 * A certificate of the folder's authority for a machine that is reached by these hosts, written to `out` with the authority's
 * certificate: copy that folder to the machine.
 */
export function issueCertificate(
  folder: string,
  { hosts = [], out = folder, days = NODE_DAYS }: { hosts?: readonly string[]; out?: string; days?: number } = {},
): void {
  for (const host of hosts) {
    if (isIP(host) === 0 && !/^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?$/.test(host)) {
      const what = `${JSON.stringify(host.slice(0, 200))} is no host name and no IP address`;
      throw new InvalidOptionError(explain(what, undefined, "Write names and addresses as nodes use them"), {
        option: "hosts",
        value: host,
      });
    }
  }
  const ca = readFile(folder, FILES.ca);
  const key = readKey(folder, FILES.caKey);
  checkPair(folder, FILES.ca, ca, key);
  const issued = newCertificate({ cert: ca, key }, [...new Set([...OWN_HOSTS, ...hosts])], days);
  privateFolder(out);
  writeFileSync(join(out, FILES.key), issued.key, { mode: 0o600, flush: true });
  writeFileSync(join(out, FILES.cert), issued.cert, { mode: 0o600, flush: true });
  if (out !== folder) writeFileSync(join(out, FILES.ca), ca, { mode: 0o600, flush: true });
}

/** The certificates of a folder, checked: whatever would make every connection fail later is said now. */
export function loadTls(folder: string, now = Date.now()): LoadedTls {
  const ca = readFile(folder, FILES.ca);
  const cert = readFile(folder, FILES.cert);
  const key = readKey(folder, FILES.key);
  checkPair(folder, FILES.cert, cert, key);
  const own = parsed(folder, FILES.cert, cert);
  const authority = parsed(folder, FILES.ca, ca);
  const todo = "Make new ones by mobula ca create";
  if (!own.verify(authority.publicKey))
    throw refuse(`${FILES.cert} in ${folder} cannot be used`, `${FILES.ca} did not sign it`, todo, folder);
  for (const [name, certificate] of [[FILES.ca, authority] as const, [FILES.cert, own] as const]) {
    const what = `${name} in ${folder} cannot be used`;
    if (Date.parse(certificate.validTo) < now) throw refuse(what, `it ended on ${certificate.validTo}`, todo, folder);
    if (Date.parse(certificate.validFrom) > now) {
      throw refuse(what, `it begins on ${certificate.validFrom}`, "Set this machine's clock, or make a new one", folder);
    }
  }
  return { ca, cert, key: readFile(folder, FILES.key), expiresAt: Date.parse(own.validTo), hosts: own.subjectAltName ?? "" };
}

/** Nobody would reach a machine by a host that its certificate does not name: that is said before it starts. */
export function checkNamed(folder: string, host: string): void {
  const own = parsed(folder, FILES.cert, readFile(folder, FILES.cert));
  // One that stands for all of them is named by none.
  const named = ["0.0.0.0", "::"].includes(host) || (isIP(host) === 0 ? own.checkHost(host) : own.checkIP(host)) !== undefined;
  if (named) return;
  const why = `it names ${own.subjectAltName ?? "no host"}, and not ${host}, by which others are to reach this machine`;
  throw refuse(`${FILES.cert} in ${folder} cannot be used`, why, `Run: mobula ca create --tls-dir ${folder} --host ${host}`, folder);
}

function readFile(folder: string, name: string): string {
  try {
    return readFileSync(join(folder, name), "utf8");
  } catch (error) {
    const todo = "Make the certificates by mobula ca create, and copy ca.pem, node.pem and node-key.pem to each machine";
    throw refuse(`Cannot read ${name} in ${folder}`, (error as NodeJS.ErrnoException).code ?? String(error), todo, folder, error);
  }
}

function readKey(folder: string, name: string): KeyObject {
  const text = readFile(folder, name);
  const file = join(folder, name);
  if ((statSync(file).mode & 0o077) !== 0) {
    throw refuse(`The key in ${file} is refused`, "its mode lets other users at it", `Run: chmod 600 ${file}`, folder);
  }
  try {
    return createPrivateKey(text);
  } catch (error) {
    throw refuse(`${file} holds no key`, "it cannot be read as PEM", "Copy it again, or make new certificates", folder, error);
  }
}

function parsed(folder: string, name: string, text: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch (error) {
    throw refuse(
      `${join(folder, name)} holds no certificate`,
      "it cannot be read as PEM",
      "Copy it again, or make a new one",
      folder,
      error,
    );
  }
}

function checkPair(folder: string, name: string, cert: string, key: KeyObject): void {
  if (parsed(folder, name, cert).checkPrivateKey(key)) return;
  throw refuse(`${name} in ${folder} cannot be used`, "it does not belong to the key beside it", "Copy both from one place", folder);
}
