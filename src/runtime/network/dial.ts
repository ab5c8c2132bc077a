/**
 * Opens a connection to another machine: TCP, or TLS over it, then the handshake. What comes out is proven and ready to be
 * used; what fails says in one error why.
 */
import { connect as connectTcp } from "node:net";
import type { OnReadOpts, Socket } from "node:net";
import type { ConnectionError } from "../../errors/index.ts";
import { formatAddress } from "./address.ts";
import {
  busy,
  cutOff,
  notMobula,
  refusedCertificate,
  socketFailure,
  speaksTls,
  timedOut,
  connectionError,
  wrongCluster,
  wrongPeer,
  wrongToken,
  wrongTokenThere,
  wrongVersion,
} from "./failures.ts";
import { bindingOf, FrameSource } from "./frames.ts";
import {
  BadHandshake,
  BODY_MAX,
  decodeChallenge,
  decodeRefusal,
  encodeFrame,
  encodeHello,
  FRAME,
  HEADER_BYTES,
  isProof,
  newNonce,
  proofOf,
  REFUSAL,
} from "./handshake.ts";
import type { Challenge, Frame, Role, Self } from "./handshake.ts";
import { connectTls } from "./tls.ts";
import type { TlsChoice } from "./tls.ts";
import type { Credential } from "./secret.ts";

export const HANDSHAKE_MS = 5_000;

/** Who is at the other end. It has proven the secret of `credential`; whether its other claims are allowed is its user's to judge. */
export interface PeerClaims extends Self {
  readonly clusterId: string;
  readonly credential: string;
  readonly purpose: string;
}

/** A connection after its handshake. Nobody reads the socket yet; the next byte is its user's. */
export interface Authenticated {
  readonly socket: Socket;
  readonly peer: PeerClaims;
  /** The other end's address, for messages. */
  readonly address: string;
  readonly secure: boolean;
}

/** One that has connected to a port of this process. */
export interface Caller extends Authenticated {
  /** Ends it, with a line in the log of the port, at the rate of those about strangers: it said what it may not say. */
  refuse(why: string): void;
}

/** Takes bytes without a copy: they are put into `buffer`, which is asked for anew after each `took`. `take`: some that lie elsewhere. */
export interface ByteTaker {
  buffer(): Uint8Array;
  took(length: number): void;
  take(bytes: Uint8Array): void;
}

export interface DialOptions {
  readonly host: string;
  readonly port: number;
  readonly credentials: Credential;
  readonly self: Self;
  /** What the connection is for; the listener is told. */
  readonly purpose: string;
  /** What is known of the other end: anything else there is an error. */
  readonly expect?: { readonly clusterId?: string; readonly role?: Role; readonly id?: string };
  readonly tls?: TlsChoice;
  /** For everything up to the handshake's end. */
  readonly timeoutMs?: number;
  /**
   * Where bytes go that come after the handshake, straight from the kernel, on a connection without TLS; one with TLS has "data"
   * events. The listener must say nothing before it is asked.
   */
  readonly into?: ByteTaker;
  /** Gives up; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Rejects with a ConnectionError whose `reason` says what is wrong. */
export function dial(options: DialOptions): Promise<Authenticated> {
  return new Promise((resolve, reject) => {
    if (options.signal?.aborted === true) return reject(options.signal.reason as Error);
    const attempt = new Dial(options, resolve, reject);
    attempt.start();
  });
}

class Dial {
  readonly #options: DialOptions;
  readonly #address: string;
  readonly #resolve: (connection: Authenticated) => void;
  readonly #reject: (error: Error) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #hello: Buffer;
  #socket!: Socket;
  #source: FrameSource | undefined;
  #connected = false;
  #over = false;

  constructor(options: DialOptions, resolve: (connection: Authenticated) => void, reject: (error: Error) => void) {
    this.#options = options;
    this.#address = formatAddress(options);
    this.#resolve = resolve;
    this.#reject = reject;
    const { self, credentials, purpose, expect } = options;
    const nonce = newNonce();
    this.#hello = encodeHello({ ...self, clusterId: expect?.clusterId ?? "", credential: credentials.name, purpose, nonce });
    const timeoutMs = options.timeoutMs ?? HANDSHAKE_MS;
    this.#timer = setTimeout(() => this.#fail(this.#late(timeoutMs)), timeoutMs);
    options.signal?.addEventListener("abort", this.#aborted);
  }

  readonly #aborted = (): void => this.#fail(this.#options.signal!.reason as Error);

  start(): void {
    const { host, port, tls, into } = this.#options;
    const onread = into === undefined || tls !== undefined ? {} : { onread: this.#readInto(into) };
    const socket = connectTcp({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000, ...onread });
    this.#socket = socket;
    const failed = (error: Error): void => this.#fail(socketFailure(this.#address, error));
    socket.once("error", failed);
    socket.once("connect", () => {
      this.#connected = true;
      socket.off("error", failed);
      if (tls === undefined) return this.#greet(socket);
      connectTls(socket, tls, this.#options, (secured) => {
        this.#socket = secured;
        secured.once("error", failed);
        const closed = (): void => this.#fail(cutOff(this.#address));
        secured.once("close", closed);
        secured.once("secureConnect", () => {
          secured.off("error", failed);
          secured.off("close", closed);
          this.#greet(secured);
        });
      });
    });
  }

  /** Until the handshake is over what comes is pushed into the socket, where it is read as ever. */
  #readInto(into: ByteTaker): OnReadOpts {
    const early = new Uint8Array(HEADER_BYTES + BODY_MAX);
    return {
      buffer: () => (this.#over ? into.buffer() : early),
      callback: (length, buffer) => {
        if (buffer !== early) into.took(length);
        // The first bytes after the handshake are still read into the buffer that was chosen before its end.
        else if (this.#over) into.take(Buffer.from(early.subarray(0, length)));
        else this.#socket.push(Buffer.from(early.subarray(0, length)));
        return true;
      },
    };
  }

  #greet(socket: Socket): void {
    if (this.#over) return;
    const source = new FrameSource(socket, { failed: (error) => this.#fail(this.#meaning(error)) });
    this.#source = source;
    socket.write(encodeFrame(FRAME.hello, this.#hello));
    source.expect([FRAME.challenge, FRAME.refusal], (frame) => {
      if (frame.kind === FRAME.refusal) return this.#refused(frame);
      this.#prove(socket, source, Buffer.from(frame.body), decodeChallenge(frame.body));
    });
  }

  #prove(socket: Socket, source: FrameSource, body: Buffer, challenge: Challenge): void {
    const { credentials, expect } = this.#options;
    if (expect?.clusterId !== undefined && challenge.clusterId !== expect.clusterId) {
      return this.#fail(wrongCluster(this.#address, expect.clusterId, challenge.clusterId));
    }
    const said = { hello: this.#hello, challenge: body, binding: bindingOf(socket) };
    socket.write(encodeFrame(FRAME.answer, proofOf("dialler", credentials.secret, said)));
    source.expect([FRAME.welcome, FRAME.refusal], (frame) => {
      if (frame.kind === FRAME.refusal) return this.#refused(frame);
      if (!isProof(frame.body, proofOf("listener", credentials.secret, said))) return this.#fail(wrongTokenThere(this.#address));
      this.#welcomed(socket, source, challenge);
    });
  }

  #welcomed(socket: Socket, source: FrameSource, { role, id, incarnation, clusterId }: Challenge): void {
    const { expect, credentials, purpose, tls } = this.#options;
    const wanted = `${expect?.role ?? role} ${expect?.id ?? id}`;
    if (wanted !== `${role} ${id}`) return this.#fail(wrongPeer(this.#address, wanted, `${role} ${id}`));
    this.#settle();
    source.release();
    const peer = { role, id, incarnation, clusterId, credential: credentials.name, purpose };
    this.#resolve({ socket, peer, address: this.#address, secure: tls !== undefined });
  }

  #refused(frame: Frame): void {
    const { reason, clusterId } = decodeRefusal(frame.body);
    this.#fail(this.#refusal(reason, clusterId));
  }

  #refusal(reason: number, clusterId: string): ConnectionError {
    const address = this.#address;
    if (reason === REFUSAL.cluster) return wrongCluster(address, this.#options.expect?.clusterId ?? "another", clusterId);
    if (reason === REFUSAL.secret) return wrongToken(address);
    if (reason === REFUSAL.tls) return speaksTls(address);
    if (reason === REFUSAL.busy) return busy(address);
    return connectionError(
      address,
      "closed",
      "it refused the handshake as malformed",
      "Install the same version of mobula on both machines",
    );
  }

  /** What a failure during the handshake means. */
  #meaning(error: Error | undefined): Error {
    const address = this.#address;
    const closed = error === undefined || ["ECONNRESET", "EPIPE"].includes((error as NodeJS.ErrnoException).code ?? "");
    // A listener judges our certificate only after we believe that TLS stands.
    if (closed && this.#options.tls !== undefined && this.#source?.heard === false) return refusedCertificate(address, error);
    if (error === undefined) return cutOff(address);
    if (!(error instanceof BadHandshake)) return socketFailure(address, error);
    if (error.version !== undefined) return wrongVersion(address, error.version);
    const start = error.start?.toString("latin1") ?? "";
    // A TLS alert, or the beginning of one.
    if (start.startsWith("\x15")) return speaksTls(address);
    if (start.startsWith("H")) return notMobula(address, " but a web server");
    if (start.startsWith("S")) return notMobula(address, " but, it seems, SSH");
    return notMobula(address, error.start === undefined ? `: ${error.message}` : "");
  }

  #late(timeoutMs: number): ConnectionError {
    const what = this.#connected ? "it accepted the connection and did not answer the handshake" : "nobody answered";
    const late = timedOut(this.#address, what, timeoutMs);
    if (this.#connected) return late;
    return connectionError(
      this.#address,
      "unreachable",
      `${what} within ${timeoutMs} ms`,
      "Check the address, and the network between here and there",
    );
  }

  #settle(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener("abort", this.#aborted);
  }

  #fail(error: Error): void {
    if (this.#over) return;
    this.#settle();
    this.#source?.release();
    this.#socket.on("error", () => {});
    this.#socket.destroy();
    this.#reject(error);
  }
}
