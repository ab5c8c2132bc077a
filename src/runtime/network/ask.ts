/**
 * Questions of commands to control or to a node: on a connection of their own with purpose ASK, one line of JSON each way, and no more.
 * Who asks has proven the cluster's token by the handshake.
 */
import type { Socket } from "node:net";
import { ConnectionError, explain, MobulaError } from "../../errors/index.ts";
import { formatAddress } from "./address.ts";
import { dial } from "./dial.ts";
import type { Caller, DialOptions } from "./dial.ts";

export const ASK = "ask";
const QUESTION_MAX = 1024 * 1024;
const ANSWER_MAX = 64 * 1024 * 1024;
const WAIT_MS = 10_000;

export interface Question {
  readonly kind: string;
  readonly [field: string]: unknown;
}

type Reply = { readonly answer: unknown } | { readonly error: { readonly code: string; readonly message: string } };

/** Answers what comes on the connection, and closes it. The answer of a question that is not known is an error. */
export function serveAsk({ socket, refuse }: Caller, answer: (question: Question) => Promise<unknown>): void {
  const reply = (body: Reply): void => void socket.end(`${JSON.stringify(body)}\n`);
  const timer = setTimeout(() => socket.destroy(), WAIT_MS).unref();
  socket.on("error", () => {});
  socket.on("close", () => clearTimeout(timer));
  const tooLong = (): void => refuse(`its question has more than ${QUESTION_MAX} characters`);
  readLine(socket, QUESTION_MAX, tooLong, (line) => {
    clearTimeout(timer);
    let question: Question;
    try {
      question = JSON.parse(line) as Question;
      if (typeof question !== "object" || question === null || typeof question.kind !== "string") throw new Error("it has no kind");
    } catch (error) {
      return reply({ error: { code: "CONNECTION", message: `the question was not understood: ${(error as Error).message}` } });
    }
    answer(question).then(
      (value) => reply({ answer: value ?? null }),
      (error: Error) => reply({ error: { code: error instanceof MobulaError ? error.code : "INTERNAL", message: error.message } }),
    );
  });
}

/** Rejects with ConnectionError: nobody is there, they do not know each other, or the question was refused. */
export async function ask(options: Omit<DialOptions, "purpose">, question: Question): Promise<unknown> {
  const { socket } = await dial({ ...options, purpose: ASK });
  const at = formatAddress(options);
  const line = await new Promise<string>((resolve, reject) => {
    const late = (): void => failed(`it did not answer within ${WAIT_MS} ms`);
    const timer = setTimeout(late, WAIT_MS);
    const failed = (why: string): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(
        new ConnectionError(explain(`${at} was asked in vain`, why, "Try again, and look at its log if that goes on"), { address: at }),
      );
    };
    socket.on("error", (error) => failed(error.message));
    socket.on("close", () => failed("it closed the connection"));
    const tooLong = (): void => failed(`its answer has more than ${ANSWER_MAX} characters`);
    readLine(socket, ANSWER_MAX, tooLong, (text) => {
      clearTimeout(timer);
      resolve(text);
      socket.destroy();
    });
    socket.write(`${JSON.stringify(question)}\n`);
  });
  const reply = JSON.parse(line) as Reply;
  if ("error" in reply) throw new ConnectionError(reply.error.message, { address: at });
  return reply.answer;
}

function readLine(socket: Socket, max: number, tooLong: () => void, then: (line: string) => void): void {
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    text += chunk;
    const end = text.indexOf("\n");
    if (end >= 0) {
      socket.removeAllListeners("data");
      then(text.slice(0, end));
    } else if (text.length > max) tooLong();
  });
  socket.resume();
}
