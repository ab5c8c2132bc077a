/**
 * The errors of connections between machines, one line each: what happened, to what address, why, and what to do. What the
 * other side sent is never repeated raw.
 */
import { ConnectionError, explain } from "../../errors/index.ts";
import type { ConnectionReason } from "../../errors/index.ts";
import { PROTOCOL_VERSION } from "../../protocol/version.ts";

export function connectionError(address: string, reason: ConnectionReason, why: string, todo: string, cause?: unknown): ConnectionError {
  return new ConnectionError(explain(`Cannot connect to ${address}: ${why}`, undefined, todo), { address, reason, cause });
}

export const wrongToken = (address: string): ConnectionError =>
  connectionError(
    address,
    "token",
    "the token is not the one of the cluster there",
    "Give that cluster's token by MOBULA_TOKEN or MOBULA_TOKEN_FILE: it is in the file named token in the folder of its head",
  );

export const wrongTokenThere = (address: string): ConnectionError =>
  connectionError(
    address,
    "token",
    "what answers there does not know the token",
    "Something else listens on that port, or a cluster with another token: check the address",
  );

export const wrongCluster = (address: string, wanted: string, found: string): ConnectionError =>
  connectionError(
    address,
    "cluster",
    `the cluster there is ${found}, not ${wanted}`,
    "Check the address; a cluster that was started anew with --fresh is another one, which nodes and programs must join anew",
  );

export const wrongVersion = (address: string, theirs: number): ConnectionError =>
  connectionError(
    address,
    "version",
    `it speaks version ${theirs} of the protocol and this is version ${PROTOCOL_VERSION}`,
    "Install the same version of mobula on both machines",
  );

export const wrongPeer = (address: string, wanted: string, found: string): ConnectionError =>
  connectionError(address, "peer", `${found} answers there, not ${wanted}`, "Its address is stale: ask the cluster for the present one");

export const notMobula = (address: string, what: string): ConnectionError =>
  connectionError(
    address,
    "garbage",
    `what answers there is not mobula${what}`,
    "Check the port: mobula start says which it is, 6380 unless told otherwise",
  );

export const speaksTls = (address: string): ConnectionError =>
  connectionError(address, "tls", "it speaks TLS and this side has no certificate", "Give the folder of the certificates by --tls-dir");

export const speaksNoTls = (address: string, cause: unknown): ConnectionError =>
  connectionError(address, "tls", "it does not speak TLS and this side does", "Start the other side with --tls-dir too", cause);

export const timedOut = (address: string, what: string, timeoutMs: number): ConnectionError =>
  connectionError(
    address,
    "timeout",
    `${what} within ${timeoutMs} ms`,
    "Check the address, the network between here and there, and whether the cluster runs (mobula status)",
  );

export const busy = (address: string): ConnectionError =>
  connectionError(address, "busy", "it has too many connections", "Try again later, or end programs that are not needed");

export const cutOff = (address: string, cause?: unknown): ConnectionError =>
  connectionError(
    address,
    "closed",
    "it closed the connection during the handshake",
    "Check that it is a mobula port and that the cluster runs (mobula status); then try again",
    cause,
  );

const TLS_ADVICE = "Both sides need certificates of one authority that are valid today and name the host: mobula ca create makes them";

export const refusedCertificate = (address: string, cause?: unknown): ConnectionError =>
  connectionError(address, "tls", "it closed the connection when it had seen this side's certificate", TLS_ADVICE, cause);

/** What a socket's error means before the handshake is done. */
export function socketFailure(address: string, error: NodeJS.ErrnoException): ConnectionError {
  const code = error.code ?? "";
  if (code === "ECONNREFUSED") {
    const todo = "Check the address, and start the cluster with mobula start --head";
    return connectionError(address, "refused", "nothing listens there", todo, error);
  }
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return connectionError(address, "unreachable", "no host has this name", "Check the spelling and the name server", error);
  }
  if (["EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT", "EINVAL", "EADDRNOTAVAIL", "ENETDOWN", "EHOSTDOWN"].includes(code)) {
    return connectionError(address, "unreachable", `nobody answers (${code})`, "Check the address and the network", error);
  }
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH|UNEXPECTED_MESSAGE|BAD_RECORD_TYPE|HTTP_REQUEST/.test(code)) return speaksNoTls(address, error);
  if (/^(ERR_TLS|ERR_SSL|CERT|UNABLE|DEPTH|SELF_SIGNED|INVALID_|HOSTNAME)|CERT/.test(code)) {
    return connectionError(address, "tls", `the certificates do not fit (${code})`, TLS_ADVICE, error);
  }
  if (["ECONNRESET", "EPIPE", "ECONNABORTED"].includes(code)) return cutOff(address, error);
  return connectionError(address, "unreachable", error.message, "Check the address and the network", error);
}
