/**
 * Everything between two machines below the messages: proven connections, secrets, certificates.
 */
export { formatAddress, isLoopback, isLoopbackHost, parseAddress } from "./address.ts";
export type { Address } from "./address.ts";
export { Alarm } from "./alarm.ts";
export { dial, HANDSHAKE_MS } from "./dial.ts";
export type { Authenticated, ByteTaker, Caller, DialOptions, PeerClaims } from "./dial.ts";
export type { Role, Self } from "./handshake.ts";
export { listen } from "./listen.ts";
export type { Listener, ListenerStatistics, ListenOptions } from "./listen.ts";
export { CLUSTER, jobOfCredential, jobOfToken, jobToken, Secret, ticketCredential, tokenCredential, tokenMark } from "./secret.ts";
export type { Accepted, Credential } from "./secret.ts";
export type { TlsChoice, TlsMaterial } from "./tls.ts";
export { homeFolder, tlsFolder } from "./home.ts";
export { createToken, findToken, readTokenFile } from "./token-file.ts";
export type { FoundToken } from "./token-file.ts";
export { HeldPort } from "./held-port.ts";
export { CONTROL_ID, LINK, LinkHub, PROBE } from "./hub.ts";
export type { HubOptions, HubStatistics } from "./hub.ts";
export type { Link, LinkStatistics } from "./link.ts";
export { checkNamed, createAuthority, issueCertificate, loadTls } from "./authority.ts";
export type { LoadedTls } from "./authority.ts";
export { checkBearer, checkHost, checkOrigin, checkRequest } from "./http-checks.ts";
export type { AllowedHosts, BearerResult, HttpRefusal } from "./http-checks.ts";
export { ASK, ask, serveAsk } from "./ask.ts";
export type { Question } from "./ask.ts";
