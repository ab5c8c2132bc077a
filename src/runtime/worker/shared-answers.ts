/**
 * Which calls of a channel have results that others than their owner hold refs to, and so are told to the node: known with the push,
 * or later. Where the call had been answered by then, a few recent answers are kept: their owner may have stopped reading.
 */
import type { Push, ReplyBody } from "../../protocol/direct.ts";
import type { Payload } from "../../protocol/messages.ts";

/** Answers kept, and how large one may be, bytes. A ref whose answer is not kept is settled when its owner reads on. */
const KEPT = 256;
const KEPT_BYTES_MAX = 16 * 1024;
const AHEAD_MAX = 100_000;

export interface Answered {
  readonly push: Pick<Push, "seq" | "taskCounter" | "numReturns" | "errorsFinal">;
  readonly body: ReplyBody;
}

export class SharedAnswers {
  readonly #recent: (Answered | undefined)[] = [];
  /** Calls that are not answered yet. */
  readonly #ahead = new Set<number>();

  /** Others hold refs to its results from now on. Returns its answer, if that was given. */
  share(seq: number): Answered | undefined {
    const answered = this.#recent[seq % KEPT];
    if (answered?.push.seq === seq) return answered;
    this.#ahead.add(seq);
    if (this.#ahead.size > AHEAD_MAX) this.#ahead.delete(this.#ahead.values().next().value!);
    return undefined;
  }

  /** A call is answered, or never will be. Returns whether it was shared after its push. */
  take(seq: number): boolean {
    return this.#ahead.size > 0 && this.#ahead.delete(seq);
  }

  keep({ seq, taskCounter, numReturns, errorsFinal }: Push, body: ReplyBody): void {
    // Not the push itself, which has the arguments.
    const answered = isSmall(body) ? { push: { seq, taskCounter, numReturns, errorsFinal }, body } : undefined;
    this.#recent[seq % KEPT] = answered;
  }
}

/** What the node is to know of an answer, by index of the result. What is stored it knows already. */
export function sharedResults({ push, body }: Answered): { index: number; payload: Payload }[] {
  const { numReturns, errorsFinal } = push;
  if (body.kind === "returned") {
    if (body.results.length !== numReturns) return [];
    return body.results.map((payload, index) => ({ index, payload })).filter(({ payload }) => payload.kind !== "stored");
  }
  if (body.kind !== "threw" || !errorsFinal) return [];
  return Array.from({ length: numReturns }, (_, index) => ({ index, payload: body.error }));
}

function isSmall(body: ReplyBody): boolean {
  if (body.kind === "stream-ended") return false;
  const payloads = body.kind === "returned" ? body.results : [body.error];
  let size = 0;
  for (const payload of payloads) if (payload.kind !== "stored") size += payload.bytes.byteLength;
  return size <= KEPT_BYTES_MAX;
}
