/**
 * A port of this cluster. Whoever connects must finish the handshake within a few seconds; until then it costs a small buffer
 * and a timer, the number of such strangers is bounded, and the first wrong byte ends it.
 */
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { InvalidOptionError, explain } from "../../errors/index.ts";
import { formatAddress, isLoopbackHost } from "./address.ts";
import { HANDSHAKE_MS } from "./dial.ts";
import type { Authenticated, Caller } from "./dial.ts";
import { bindingOf, FrameSource } from "./frames.ts";
import {
  BadHandshake,
  decodeHello,
  encodeChallenge,
  encodeFrame,
  encodeRefusal,
  FRAME,
  isProof,
  newNonce,
  proofOf,
  REFUSAL,
} from "./handshake.ts";
import type { Frame, Hello, Refusal, Self } from "./handshake.ts";
import { LimitedLog } from "./log-limit.ts";
import { Secret, secretOf } from "./secret.ts";
import type { Accepted } from "./secret.ts";
import { tlsServer } from "./tls.ts";
import type { TlsChoice } from "./tls.ts";

const PENDING_MAX = 256;
const CONNECTIONS_MAX = 4096;
/** The first byte of a TLS connection, and of one of ours. */
const TLS_HANDSHAKE = 0x16;
const MOBULA = 0x6d;

export interface ListenOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly credentials: Accepted;
  readonly clusterId: string;
  readonly self: Self;
  /** Called in the turn in which the handshake ends: take the socket at once, for example into a `Connection`. */
  readonly onConnection: (connection: Caller) => void;
  readonly tls?: TlsChoice;
  /** Allows a host that others reach without TLS: whoever can read the network reads everything, and can take connections over. */
  readonly insecure?: boolean;
  readonly timeoutMs?: number;
  /** Connections in their handshake; when there are more, the one that waits longest is closed. */
  readonly maxPending?: number;
  /** Connections after it; when there are more, new ones are refused. */
  readonly maxConnections?: number;
  /** Lines about refused strangers and callers, at a bounded rate. */
  readonly log?: (line: string) => void;
}

export interface ListenerStatistics {
  /** In their handshake now. */
  readonly pending: number;
  /** Open now, after their handshake. */
  readonly connections: number;
  readonly accepted: number;
  /** In their handshake, or for what they said after it. */
  readonly refused: number;
}

export interface Listener {
  readonly host: string;
  readonly port: number;
  statistics(): ListenerStatistics;
  /** No new connections; those in their handshake are cut, others are their users'. */
  close(): void;
}

/** Rejects with InvalidOptionError when the address cannot be listened on, or must not without TLS. */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { host, tls, insecure } = options;
  if (tls === undefined && insecure !== true && !(await isLoopbackHost(host))) {
    const what = `Listening on ${host} without TLS is refused`;
    const why = "other machines can reach it, and could read everything and take connections over";
    const todo =
      "Make certificates by mobula ca create and name their folder by --tls-dir; or, on a network that you trust, --insecure-no-tls";
    throw new InvalidOptionError(explain(`${what}: ${why}`, undefined, todo), { option: "host", value: host });
  }
  const reception = new Reception(options);
  await reception.open();
  return reception;
}

class Reception implements Listener {
  readonly #options: ListenOptions;
  readonly #server: Server;
  readonly #log: LimitedLog;
  readonly #strangers = new Map<Socket, Stranger>();
  readonly #timeoutMs: number;
  #port = 0;
  #connections = 0;
  #accepted = 0;
  #refused = 0;

  constructor(options: ListenOptions) {
    // An identity that cannot be sent is refused now, not at the first connection.
    encodeChallenge({ ...options.self, clusterId: options.clusterId, nonce: newNonce() });
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? HANDSHAKE_MS;
    this.#log = new LimitedLog(options.log ?? (() => {}));
    this.#server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 });
    this.#server.on("connection", (socket) => this.#knock(socket));
    if (options.tls !== undefined) this.#secure(tlsServer(options.tls, options.credentials, this.#timeoutMs));
  }

  #toTls: ((socket: Socket) => void) | undefined;

  #secure(server: ReturnType<typeof tlsServer>): void {
    // The port of the other end is the same above and below TLS, and tells the connections apart.
    this.#toTls = (socket) => server.emit("connection", socket);
    server.on("secureConnection", (secured) => {
      const stranger = [...this.#strangers.values()].find(({ port }) => port === secured.remotePort);
      if (stranger === undefined) return secured.destroy();
      stranger.greet(secured);
    });
    server.on("tlsClientError", (error, secured) => {
      secured.on("error", () => {});
      for (const stranger of this.#strangers.values()) if (stranger.port === secured.remotePort) stranger.fail(error);
    });
  }

  open(): Promise<void> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException): void => reject(cannotListen(host, port, error));
      this.#server.once("error", failed);
      this.#server.listen({ host, port, backlog: 511 }, () => {
        this.#server.off("error", failed);
        // Accepting can fail for want of file descriptors: that one connection is lost, the port goes on.
        this.#server.on("error", (error) => this.#log.line(`a connection could not be accepted: ${error.message}`));
        this.#port = (this.#server.address() as AddressInfo).port;
        resolve();
      });
    });
  }

  get host(): string {
    return this.#options.host;
  }

  get port(): number {
    return this.#port;
  }

  statistics(): ListenerStatistics {
    return { pending: this.#strangers.size, connections: this.#connections, accepted: this.#accepted, refused: this.#refused };
  }

  close(): void {
    this.#server.close();
    for (const stranger of this.#strangers.values()) stranger.fail(undefined);
  }

  #knock(socket: Socket): void {
    const max = this.#options.maxPending ?? PENDING_MAX;
    // Whoever is honest is done in a moment, so the oldest is the one to go.
    for (const [, oldest] of this.#strangers) {
      if (this.#strangers.size < max) break;
      oldest.fail(new Error("too many connections were in their handshake"));
    }
    const full = this.#connections >= (this.#options.maxConnections ?? CONNECTIONS_MAX);
    const stranger = new Stranger(socket, this.#options, this.#timeoutMs, full, {
      welcome: (connection) => this.#welcome(socket, connection),
      refused: (why, from) => {
        this.#strangers.delete(socket);
        this.#refused++;
        this.#log.line(`a connection from ${from} was refused: ${why}`);
      },
    });
    this.#strangers.set(socket, stranger);
    if (this.#toTls === undefined) stranger.greet(socket);
    else stranger.awaitTls(() => this.#toTls!(socket));
  }

  #welcome(socket: Socket, connection: Authenticated): void {
    this.#strangers.delete(socket);
    this.#connections++;
    this.#accepted++;
    connection.socket.once("close", () => this.#connections--);
    const { role, id, purpose } = connection.peer;
    const refuse = (why: string): void => {
      this.#refused++;
      this.#log.line(`${role} ${id} at ${connection.address}, here for "${purpose}", was refused: ${why}`);
      connection.socket.destroy();
    };
    this.#options.onConnection({ ...connection, refuse });
  }
}

interface StrangerEvents {
  welcome(connection: Authenticated): void;
  refused(why: string, from: string): void;
}

/** One connection until its handshake is done. */
class Stranger {
  readonly port: number | undefined;
  readonly #raw: Socket;
  readonly #options: ListenOptions;
  readonly #full: boolean;
  readonly #events: StrangerEvents;
  readonly #timer: NodeJS.Timeout;
  readonly #from: string;
  #socket: Socket;
  #source: FrameSource | undefined;
  #over = false;

  readonly #closed = (): void => this.fail(new Error("it closed the connection"));

  constructor(raw: Socket, options: ListenOptions, timeoutMs: number, full: boolean, events: StrangerEvents) {
    this.#raw = raw;
    this.#socket = raw;
    this.#options = options;
    this.#full = full;
    this.#events = events;
    this.port = raw.remotePort;
    this.#from = formatAddress({ host: raw.remoteAddress ?? "somewhere", port: raw.remotePort ?? 0 });
    this.#timer = setTimeout(() => this.fail(new Error(`it did not finish the handshake within ${timeoutMs} ms`)), timeoutMs);
    raw.on("error", () => {});
    raw.once("close", this.#closed);
  }

  /** Looks at the first byte, so that one who speaks without TLS can be told that it is needed. */
  awaitTls(then: () => void): void {
    const look = (): void => {
      const first = this.#raw.read(1) as Buffer | null;
      if (first === null || this.#over) return;
      this.#raw.off("readable", look);
      this.#raw.unshift(first);
      if (first[0] === TLS_HANDSHAKE) return then();
      if (first[0] === MOBULA) this.#say(REFUSAL.tls);
      this.fail(new Error("it does not speak TLS"));
    };
    this.#raw.on("readable", look);
  }

  greet(socket: Socket): void {
    if (this.#over) return;
    this.#socket = socket;
    this.#source = new FrameSource(socket, { failed: (error) => this.fail(error ?? new Error("it closed the connection")) });
    this.#source.expect([FRAME.hello], (frame) => this.#hello(Buffer.from(frame.body)));
  }

  #hello(body: Buffer): void {
    const { clusterId, credentials, self } = this.#options;
    const hello = decodeHello(body);
    if (this.#full) return this.#refuse(REFUSAL.busy, "there are too many connections");
    if (hello.clusterId !== "" && hello.clusterId !== clusterId) {
      return this.#refuse(REFUSAL.cluster, `it looks for the cluster ${hello.clusterId}`, clusterId);
    }
    // For a name that is not known the check goes on as for a wrong secret.
    const secret = secretOf(credentials, hello.credential) ?? Secret.random();
    const challenge = encodeChallenge({ ...self, clusterId, nonce: newNonce() });
    this.#socket.write(encodeFrame(FRAME.challenge, challenge));
    this.#source!.expect([FRAME.answer], (frame) => this.#answer(frame, hello, body, challenge, secret));
  }

  #answer(frame: Frame, hello: Hello, body: Buffer, challenge: Buffer, secret: Secret): void {
    const said = { hello: body, challenge, binding: bindingOf(this.#socket) };
    if (!isProof(frame.body, proofOf("dialler", secret, said))) return this.#refuse(REFUSAL.secret, "its token is wrong");
    if (this.#socket.readableLength > 0) throw new BadHandshake("it went on before it was welcome");
    this.#socket.write(encodeFrame(FRAME.welcome, proofOf("listener", secret, said)));
    this.#settle();
    this.#source!.release();
    const { role, id, incarnation, purpose, credential } = hello;
    const peer = { role, id, incarnation, purpose, credential, clusterId: this.#options.clusterId };
    this.#events.welcome({ socket: this.#socket, peer, address: this.#from, secure: this.#options.tls !== undefined });
  }

  #refuse(reason: Refusal, why: string, clusterId?: string): void {
    this.#say(reason, clusterId);
    this.fail(new Error(why));
  }

  #say(reason: Refusal, clusterId?: string): void {
    this.#socket.write(encodeFrame(FRAME.refusal, encodeRefusal(reason, clusterId)));
  }

  fail(error: Error | undefined): void {
    if (this.#over) return;
    this.#settle();
    this.#source?.release();
    if (error instanceof BadHandshake) {
      // Another version is told ours; one that speaks TLS sees at once that there is none here; others get nothing.
      if (error.version !== undefined) this.#say(REFUSAL.version);
      else if (error.start?.[0] === TLS_HANDSHAKE) this.#say(REFUSAL.tls);
    }
    this.#socket.destroySoon();
    // One that does not take what is said to it is not waited for.
    if (this.#socket.writableLength > 0) this.#raw.destroy();
    this.#events.refused(error?.message ?? "the port is being closed", this.#from);
  }

  #settle(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#raw.off("close", this.#closed);
  }
}

export function cannotListen(host: string, port: number, error: NodeJS.ErrnoException): InvalidOptionError {
  const what = `Cannot listen on ${formatAddress({ host, port })}`;
  const option = error.code === "EADDRINUSE" || error.code === "EACCES" ? "port" : "host";
  const details = { option, value: option === "port" ? port : host, cause: error };
  if (error.code === "EADDRINUSE") {
    return new InvalidOptionError(
      explain(`${what}: the port is in use`, undefined, "Choose another by --port, or 0 to have one picked"),
      details,
    );
  }
  if (error.code === "EACCES") {
    return new InvalidOptionError(
      explain(`${what}: this user may not open that port`, undefined, "Choose one above 1023 by --port"),
      details,
    );
  }
  return new InvalidOptionError(explain(`${what}: ${error.message}`, undefined, "Choose an address of this machine by --host"), details);
}
