/**
 * One connection to one Redis: commands out, replies in, in order (RESP 2). It delivers or it breaks; nothing is queued for
 * later, nothing is tried again and nothing is connected anew: when that is right, the store knows (redis.ts). Why this is not
 * one of the client packages: docs/decisions/0014-control-stores.md.
 */
import net from "node:net";
import tls from "node:tls";
import { ReplyReader } from "./redis-replies.ts";
import type { Reply } from "./redis-replies.ts";
import type { Host, Login, TlsFiles } from "./redis-url.ts";

/** The connection is gone, or was never there; what was asked may or may not have been done. */
export class BrokenConnection extends Error {
  override readonly name = "BrokenConnection";
  /** No later try can help: a certificate that is not trusted, or no Redis at all. */
  readonly final: boolean;
  constructor(message: string, final = false) {
    super(message);
    this.final = final;
  }
}

/** Redis answered with an error. `code` is its first word. */
export class ReplyError extends Error {
  override readonly name = "ReplyError";
  readonly code: string;
  constructor(message: string) {
    super(message);
    this.code = /^[A-Z]+/.exec(message)?.[0] ?? "";
  }
}

export interface ConnectOptions extends Host {
  readonly login: Login;
  readonly tls: TlsFiles | undefined;
  readonly database?: number;
  readonly connectMs: number;
  /** A command that is not answered within this time breaks the connection. */
  readonly replyMs: number;
}

interface Waiting {
  resolve(reply: Reply): void;
  reject(error: Error): void;
  readonly since: number;
}

export class RedisConnection {
  readonly #socket: net.Socket;
  readonly #options: ConnectOptions;
  readonly #replies = new ReplyReader();
  readonly #waiting: Waiting[] = [];
  readonly #watch: NodeJS.Timeout;
  #broken: BrokenConnection | undefined;

  private constructor(socket: net.Socket, options: ConnectOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", (error) => this.#break(error.message));
    socket.on("close", () => this.#break("the connection was closed"));
    this.#watch = setInterval(() => {
      const first = this.#waiting[0];
      if (first !== undefined && performance.now() - first.since > options.replyMs) this.#break(`no answer within ${options.replyMs} ms`);
    }, 100);
  }

  /** Connected, logged in, and in its database. */
  static async connect(options: ConnectOptions): Promise<RedisConnection> {
    const connection = new RedisConnection(await connectSocket(options), options);
    const { user, password } = options.login;
    try {
      if (password !== undefined) await connection.command(user === undefined ? ["AUTH", password] : ["AUTH", user, password]);
      if (options.database !== undefined && options.database !== 0) await connection.command(["SELECT", String(options.database)]);
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  get isBroken(): boolean {
    return this.#broken !== undefined;
  }

  get host(): string {
    return this.#options.host;
  }

  /** Rejects with ReplyError or BrokenConnection. Commands may follow each other without waiting. */
  command(words: readonly (string | Uint8Array)[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#broken !== undefined) throw this.#broken;
      this.#waiting.push({ resolve, reject, since: performance.now() });
      this.#socket.cork();
      this.#socket.write(`*${words.length}\r\n`, "latin1");
      // Small words travel together; a large one goes as it is.
      let text = "";
      for (const word of words) {
        if (typeof word === "string") text += `$${Buffer.byteLength(word)}\r\n${word}\r\n`;
        else {
          this.#socket.write(`${text}$${word.byteLength}\r\n`, "utf8");
          this.#socket.write(word);
          text = "\r\n";
        }
      }
      this.#socket.write(text, "utf8");
      this.#socket.uncork();
    });
  }

  #read(chunk: Buffer): void {
    this.#replies.push(chunk);
    try {
      for (let reply = this.#replies.next(); reply !== undefined; reply = this.#replies.next()) {
        const waiting = this.#waiting.shift();
        if (waiting === undefined) throw new Error("a reply that nobody asked for");
        if (reply.value instanceof Error) waiting.reject(new ReplyError(this.#withoutSecrets(reply.value.message)));
        else waiting.resolve(reply.value);
      }
    } catch (error) {
      this.#break(`what answers is not Redis: ${(error as Error).message}`, true);
    }
  }

  /** Some servers repeat the words of a command that they do not know, and that may be a password. */
  #withoutSecrets(text: string): string {
    const { password } = this.#options.login;
    return password === undefined || password === "" ? text : text.replaceAll(password, "***");
  }

  #break(why: string, final = false): void {
    if (this.#broken !== undefined) return;
    this.#broken = new BrokenConnection(this.#withoutSecrets(`${this.#options.host}:${this.#options.port}: ${why}`), final);
    clearInterval(this.#watch);
    this.#socket.destroy();
    for (const { reject } of this.#waiting.splice(0)) reject(this.#broken);
  }

  close(): void {
    this.#break("closed");
  }
}

function connectSocket({ host, port, tls: files, connectMs }: ConnectOptions): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const name = files?.serverName ?? (net.isIP(host) === 0 ? host : undefined);
    const socket =
      files === undefined
        ? net.connect({ host, port })
        : tls.connect({ host, port, ca: files.ca, cert: files.cert, key: files.key, servername: name });
    const fail = (why: string, final: boolean): void => {
      socket.destroy();
      reject(new BrokenConnection(`${host}:${port}: ${why}`, final));
    };
    const timer = setTimeout(() => fail(`not connected within ${connectMs} ms`, false), connectMs);
    const failed = (error: NodeJS.ErrnoException): void => {
      clearTimeout(timer);
      // Errors of the network have a system call; what else comes of TLS is a matter of certificates and does not pass.
      fail(
        error.message === "" ? (error.code ?? "failed") : error.message,
        files !== undefined && error.syscall === undefined && error.code !== "ECONNRESET",
      );
    };
    socket.once("error", failed);
    socket.once(files === undefined ? "connect" : "secureConnect", () => {
      clearTimeout(timer);
      socket.off("error", failed);
      resolve(socket);
    });
  });
}
