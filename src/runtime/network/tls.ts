/**
 * TLS below the handshake, in two forms: between nodes both sides show certificates of the cluster's authority; between an
 * owner and a worker both know the worker's ticket (a pre-shared key, with an ephemeral key exchange). TLS 1.3 only.
 */
import type { Socket } from "node:net";
import { connect, createServer } from "node:tls";
import type { Server, TLSSocket } from "node:tls";
import { secretOf } from "./secret.ts";
import type { Accepted, Credential } from "./secret.ts";

/** Certificates as PEM: the cluster's authority, and this machine's own. */
export interface TlsMaterial {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Certificates, or the credential itself as the key. */
export type TlsChoice = TlsMaterial | "credential";

const common = { minVersion: "TLSv1.3", maxVersion: "TLSv1.3" } as const;
/** The hash of the suite must be the one that OpenSSL takes for keys without one: SHA-256. */
const PSK_CIPHERS = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
const PSK_PURPOSE = "mobula tls key";

export function connectTls(
  socket: Socket,
  tls: TlsChoice,
  { host, credentials }: { readonly host: string; readonly credentials: Credential },
  started: (secured: TLSSocket) => void,
): void {
  if (tls === "credential") {
    const psk = credentials.secret.derive(PSK_PURPOSE, credentials.name);
    const pskCallback = (): { psk: Buffer; identity: string } => ({ psk, identity: credentials.name });
    // There is no certificate whose name could be checked: the key is the identity.
    started(connect({ ...common, socket, ciphers: PSK_CIPHERS, pskCallback, checkServerIdentity: () => undefined }));
  } else started(connect({ ...common, socket, host, ...tls }));
}

/** A server without a port: raw sockets are given to it. */
export function tlsServer(tls: TlsChoice, accepted: Accepted, timeoutMs: number): Server {
  if (tls !== "credential")
    return createServer({ ...common, ...tls, requestCert: true, rejectUnauthorized: true, handshakeTimeout: timeoutMs });
  return createServer({
    ...common,
    ciphers: PSK_CIPHERS,
    handshakeTimeout: timeoutMs,
    pskCallback: (_socket, name) => secretOf(accepted, name)?.derive(PSK_PURPOSE, name) ?? null,
  });
}
