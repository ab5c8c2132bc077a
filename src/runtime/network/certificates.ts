/**
 * Certificates of a cluster: an authority of its own, and certificates for its machines (ECDSA on P-256, X.509 version 3). Only
 * the signing is here; who may see which file is authority.ts.
 */
import { createHash, createPublicKey, generateKeyPairSync, randomBytes, sign, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { isIP } from "node:net";
import * as der from "./der.ts";

const OID = {
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  commonName: "2.5.4.3",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

const DAY_MS = 86_400_000;
/** Clocks of machines differ. */
const BACKDATED_MS = 3_600_000;

export interface Issued {
  readonly cert: string;
  readonly key: string;
}

interface Subject {
  readonly name: Buffer;
  readonly publicKey: KeyObject;
  readonly days: number;
  readonly extensions: readonly Buffer[];
}

interface Issuer {
  readonly name: Uint8Array;
  readonly key: KeyObject;
}

const nameOf = (commonName: string): Buffer => der.sequence(der.set(der.sequence(der.oid(OID.commonName), der.utf8(commonName))));

const spkiOf = (key: KeyObject): Buffer => key.export({ type: "spki", format: "der" });

/** The identifier of a key: a hash of its bits. */
function keyId(publicKey: KeyObject): Buffer {
  const [, keyBits] = der.inside(spkiOf(publicKey));
  return createHash("sha1").update(der.content(keyBits!).subarray(1)).digest();
}

function extension(id: string, critical: boolean, value: Uint8Array): Buffer {
  const flags = critical ? [der.boolean(true)] : [];
  return der.sequence(der.oid(id), ...flags, der.octets(value));
}

function signed(subject: Subject, issuer: Issuer, now: number): string {
  const algorithm = der.sequence(der.oid(OID.ecdsaWithSha256));
  const serial = randomBytes(16);
  // Positive and never zero.
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const body = der.sequence(
    der.explicit(0, der.integer(Buffer.of(2))),
    der.integer(serial),
    algorithm,
    issuer.name,
    der.sequence(der.time(new Date(now - BACKDATED_MS)), der.time(new Date(now + subject.days * DAY_MS))),
    subject.name,
    spkiOf(subject.publicKey),
    der.explicit(3, der.sequence(...subject.extensions)),
  );
  const signature = sign("sha256", body, { key: issuer.key, dsaEncoding: "der" });
  const base64 = der.sequence(body, algorithm, der.bits(signature)).toString("base64");
  return `-----BEGIN CERTIFICATE-----\n${base64.match(/.{1,64}/g)!.join("\n")}\n-----END CERTIFICATE-----\n`;
}

const newKey = (): { publicKey: KeyObject; privateKey: KeyObject } => generateKeyPairSync("ec", { namedCurve: "P-256" });
const pemOf = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();

/** A new authority, which signs itself. */
export function newAuthority(days: number, now = Date.now()): Issued {
  const { publicKey, privateKey } = newKey();
  const name = nameOf(`mobula cluster ${randomBytes(4).toString("hex")}`);
  const id = keyId(publicKey);
  const extensions = [
    extension(OID.basicConstraints, true, der.sequence(der.boolean(true), der.integer(Buffer.of(0)))),
    // keyCertSign and cRLSign.
    extension(OID.keyUsage, true, der.bits(Buffer.of(0b0000_0110), 1)),
    extension(OID.subjectKeyIdentifier, false, der.octets(id)),
  ];
  return { cert: signed({ name, publicKey, days, extensions }, { name, key: privateKey }, now), key: pemOf(privateKey) };
}

/** A certificate for a machine that is reached by these names and addresses, as a server and as a client. */
export function newCertificate(
  authority: { cert: string; key: KeyObject },
  hosts: readonly string[],
  days: number,
  now = Date.now(),
): Issued {
  const { publicKey, privateKey } = newKey();
  const [body] = der.inside(new X509Certificate(authority.cert).raw);
  // After the version: serial number, algorithm, issuer, validity, subject.
  const issuerName = der.inside(body!)[5]!;
  const extensions = [
    extension(OID.basicConstraints, true, der.sequence()),
    // digitalSignature.
    extension(OID.keyUsage, true, der.bits(Buffer.of(0b1000_0000), 7)),
    extension(OID.extKeyUsage, false, der.sequence(der.oid(OID.serverAuth), der.oid(OID.clientAuth))),
    extension(OID.subjectKeyIdentifier, false, der.octets(keyId(publicKey))),
    extension(OID.authorityKeyIdentifier, false, der.sequence(der.implicit(0, keyId(createPublicKey(authority.key))))),
    extension(OID.subjectAltName, false, der.sequence(...hosts.map(generalName))),
  ];
  const name = nameOf("mobula node");
  return { cert: signed({ name, publicKey, days, extensions }, { name: issuerName, key: authority.key }, now), key: pemOf(privateKey) };
}

function generalName(host: string): Buffer {
  const family = isIP(host);
  if (family === 0) return der.implicit(2, Buffer.from(host, "latin1"));
  return der.implicit(7, family === 4 ? Buffer.from(host.split(".").map(Number)) : ipv6Bytes(host));
}

/** The sixteen bytes of an IPv6 address, which is known to be one. */
function ipv6Bytes(text: string): Buffer {
  const mapped = text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, a, b, c, d) => {
    const pair = (high: string, low: string): string => (Number(high) * 256 + Number(low)).toString(16);
    return `${pair(a as string, b as string)}:${pair(c as string, d as string)}`;
  });
  const [head = "", tail] = mapped.split("::");
  const words = (part: string): number[] => (part === "" ? [] : part.split(":").map((word) => Number.parseInt(word, 16)));
  const before = words(head);
  const after = words(tail ?? "");
  const all = [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after];
  const bytes = Buffer.alloc(16);
  for (const [i, word] of all.entries()) bytes.writeUInt16BE(word, 2 * i);
  return bytes;
}
