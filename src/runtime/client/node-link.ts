/**
 * This process's connection to its node: what is said before it is there waits, and questions find their answers.
 */
import type { Socket } from "node:net";
import { connect } from "node:net";
import { ActorNotFoundError, ConnectionError, MobulaError, explain } from "../../errors/index.ts";
import type { Body, Failure, MessageName } from "../../protocol/messages.ts";
import { MalformedMessage } from "../../protocol/schema.ts";
import { Connection } from "../transport/connection.ts";
import { refusal, told } from "./failures.ts";
import type { NodeSender } from "./held-refs.ts";

export type NodeHandler = (name: MessageName, body: never) => boolean;
type Question = Body<"ask">["question"];

interface Asked {
  readonly question: Question;
  readonly resolve: (body: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class NodeLink implements NodeSender {
  #connection: Connection | undefined;
  /** Said before the connection was there, in order. */
  #early: [MessageName, unknown][] = [];
  #closed: Error | undefined;
  readonly #asked = new Map<number, Asked>();
  #calls = 0;
  #held = 0;
  readonly #handle: NodeHandler;
  readonly #batchEnd: () => void;
  readonly #onClosed: (error: Error) => void;

  constructor(handle: NodeHandler, batchEnd: () => void, onClosed: (error: Error) => void) {
    this.#handle = handle;
    this.#batchEnd = batchEnd;
    this.#onClosed = onClosed;
  }

  get closed(): boolean {
    return this.#closed !== undefined;
  }

  /** Connects; `hello` is the first message, before all that was said early. */
  async connect(path: string, hello: (send: NodeSender["send"]) => void, ready: () => void): Promise<void> {
    const socket = await new Promise<Socket>((resolve, reject) => {
      const opened = connect(path, () => resolve(opened));
      opened.on("error", reject);
    });
    const connection = new Connection(socket, {
      message: (name, body) => this.#message(name, body),
      batchEnd: () => this.#batchEnd(),
      closed: (error) => void this.#broken(error ?? new Error("the node closed the connection")),
    });
    hello((name, body) => connection.send(name, body));
    this.#connection = connection;
    ready();
    if (this.#held === 0) connection.unref();
  }

  /** Sends what waited; from then on messages go out at once. */
  release(): void {
    const early = this.#early;
    this.#early = [];
    this.#opened = true;
    for (const [name, body] of early) this.#connection?.send(name, body as never);
  }

  #opened = false;

  send<N extends MessageName>(name: N, body: Body<N>): void {
    if (this.#closed) return;
    if (this.#opened) this.#connection!.send(name, body);
    else this.#early.push([name, body]);
  }

  /** Not held back before `release`: what the store says while it is being set up. */
  sendNow<N extends MessageName>(name: N, body: Body<N>): void {
    this.#connection?.send(name, body);
  }

  flush(): void {
    this.#connection?.flush();
  }

  ask(question: Question): Promise<unknown> {
    if (this.#closed) return Promise.reject(this.#closed);
    const call = this.#calls++;
    this.hold();
    return new Promise<unknown>((resolve, reject) => {
      this.#asked.set(call, { question, resolve, reject });
      this.send("ask", { call, question });
    }).finally(() => this.letGo());
  }

  /** While held, the connection keeps the process alive. */
  hold(): void {
    if (this.#held++ === 0) this.#connection?.ref();
  }

  letGo(): void {
    if (--this.#held === 0) this.#connection?.unref();
  }

  close(): void {
    this.#connection?.close();
  }

  destroy(): void {
    this.#connection?.destroy();
  }

  /** Says why the node is gone, if that can be known; set by whoever has started it. */
  story: (() => Promise<Error | undefined>) | undefined;

  async #broken(cause: Error): Promise<void> {
    // What this side did not understand is the reason, whatever became of the other one then.
    const story = cause instanceof MalformedMessage ? undefined : await this.story?.();
    this.fail(story ?? cause);
  }

  /** The connection is over: what was asked is not answered any more. */
  fail(cause: Error): void {
    if (this.#closed) return;
    const why =
      cause instanceof MobulaError
        ? cause
        : new ConnectionError(explain("The connection to the node is lost", cause.message, "Call init() again"), { cause });
    this.#closed = why;
    for (const { reject } of this.#asked.values()) reject(why);
    this.#asked.clear();
    this.#onClosed(why);
  }

  #message(name: MessageName, body: never): void {
    if (name === "answer") return this.#answered(body);
    if (!this.#handle(name, body)) throw new MalformedMessage("message", "one that a node sends here", name);
  }

  #answered({ call, failure, body }: Body<"answer">): void {
    const asked = this.#asked.get(call);
    if (!asked) return;
    this.#asked.delete(call);
    if (failure) asked.reject(notFound(failure, asked.question) ?? refusal(failure));
    else asked.resolve(body === undefined ? undefined : JSON.parse(body));
  }
}

function notFound(failure: Failure, question: Question): ActorNotFoundError | undefined {
  if (failure.code !== "ACTOR_NOT_FOUND" || question.kind !== "actorByName") return undefined;
  const { name: actorName, namespace } = question;
  return new ActorNotFoundError(told(failure), { actorName, namespace });
}
