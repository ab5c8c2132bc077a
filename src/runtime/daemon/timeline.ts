/**
 * Spans that processes report, kept for `timeline()`: the newest of them, in Chrome's trace event format. They are kept in columns, as a
 * hundred thousand small objects would be most of the memory of a daemon.
 */
import { taskId } from "../../protocol/ids.ts";
import type { ProcessId } from "../../protocol/ids.ts";
import { SPAN_NUMBERS } from "../../protocol/messages.ts";
import type { Body } from "../../protocol/messages.ts";

const SPANS_MAX = 100_000;
const WORDS = 4;
const NUMBERS = 3;

interface TraceEvent {
  readonly name: string;
  readonly cat: string;
  readonly ph: "X";
  readonly ts: number;
  readonly dur: number;
  readonly pid: string;
  readonly tid: string;
  readonly args: { readonly taskId: string };
}

/** Strings by number, each once, for as long as a span has it. */
class Words {
  readonly #numbers = new Map<string, number>();
  readonly #words: string[] = [];
  readonly #uses: number[] = [];
  readonly #free: number[] = [];

  take(word: string): number {
    let number = this.#numbers.get(word);
    if (number === undefined) {
      number = this.#free.pop() ?? this.#words.length;
      this.#numbers.set(word, number);
      this.#words[number] = word;
      this.#uses[number] = 0;
    }
    this.#uses[number]!++;
    return number;
  }

  at(number: number): string {
    return this.#words[number]!;
  }

  letGo(number: number): void {
    if (--this.#uses[number]! > 0) return;
    this.#numbers.delete(this.#words[number]!);
    this.#words[number] = "";
    this.#free.push(number);
  }
}

export class Timeline {
  readonly #words = new Words();
  /** The words of each span: name, category, process, and of its task. */
  readonly #texts = new Uint32Array(SPANS_MAX * WORDS);
  /** The task's number, the start and the duration of each. */
  readonly #numbers = new Float64Array(SPANS_MAX * NUMBERS);
  #count = 0;
  #next = 0;

  add(from: ProcessId, { category, words, spans }: Body<"events">): void {
    // Where a message is cut into fields nothing is aligned.
    const numbers = new Float64Array(new Uint8Array(spans).buffer, 0, Math.floor(spans.length / 8));
    for (let i = 0; i + SPAN_NUMBERS <= numbers.length; i += SPAN_NUMBERS) {
      const at = this.#next;
      if (this.#count < SPANS_MAX) this.#count++;
      else for (let k = 0; k < WORDS; k++) this.#words.letGo(this.#texts[at * WORDS + k]!);
      this.#next = (at + 1) % SPANS_MAX;
      this.#texts[at * WORDS] = this.#words.take(words[numbers[i]!] ?? "");
      this.#texts[at * WORDS + 1] = this.#words.take(category);
      this.#texts[at * WORDS + 2] = this.#words.take(from);
      this.#texts[at * WORDS + 3] = this.#words.take(words[numbers[i + 1]!] ?? "");
      for (let k = 0; k < NUMBERS; k++) this.#numbers[at * NUMBERS + k] = numbers[i + 2 + k]!;
    }
  }

  /** Oldest first. */
  events(node: string): TraceEvent[] {
    return Array.from({ length: this.#count }, (_, i) => this.#event((this.#next - this.#count + i + SPANS_MAX) % SPANS_MAX, node));
  }

  #event(at: number, node: string): TraceEvent {
    const texts = this.#texts.subarray(at * WORDS, (at + 1) * WORDS);
    const [name = "", cat = "", tid = "", word = ""] = Array.from(texts, (number) => this.#words.at(number));
    const [counter = Number.NaN, ts = 0, dur = 0] = this.#numbers.subarray(at * NUMBERS, (at + 1) * NUMBERS);
    const args = { taskId: Number.isNaN(counter) ? word : taskId(word as ProcessId, counter) };
    return { name, cat, ph: "X", ts, dur, pid: node, tid, args };
  }
}
