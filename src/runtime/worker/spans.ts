/**
 * What ran here and when, for the timeline: gathered in a table of bounded length and sent now and then, never on the path of a task.
 * Numbers and words and no objects, which would outlive the collections of a busy worker and fill its heap.
 */
import { counterOf, makerOf, taskId } from "../../protocol/ids.ts";
import type { TaskId } from "../../protocol/ids.ts";
import { SPAN_NUMBERS } from "../../protocol/messages.ts";
import type { NodeSender } from "../client/held-refs.ts";

const SEND_MS = 500;
/** Spans beyond this between two sendings are left out: a timeline of more shows nothing. */
const GATHERED_MAX = 2_000;
const NAME_MAX = 256;

export interface Ran {
  readonly name: string;
  readonly taskId: TaskId;
  readonly startedAt: number;
}

export class Spans {
  readonly #node: NodeSender;
  readonly #category: string;
  readonly #numbers = new Float64Array(GATHERED_MAX * SPAN_NUMBERS);
  #gathered = 0;
  #words = new Map<string, number>();

  constructor(node: NodeSender, category: string) {
    this.#node = node;
    this.#category = category;
  }

  add({ name, taskId: id, startedAt }: Ran, durationUs: number): void {
    if (this.#gathered === GATHERED_MAX) return;
    const at = this.#gathered++ * SPAN_NUMBERS;
    const owner = makerOf(id);
    const counter = counterOf(id);
    const plain = taskId(owner, counter) === id;
    this.#numbers[at] = this.#word(name.slice(0, NAME_MAX));
    this.#numbers[at + 1] = this.#word(plain ? owner : id);
    this.#numbers[at + 2] = plain ? counter : Number.NaN;
    this.#numbers[at + 3] = (performance.timeOrigin + startedAt) * 1000;
    this.#numbers[at + 4] = durationUs;
    if (this.#gathered === 1) setTimeout(() => this.#send(), SEND_MS).unref();
  }

  #word(word: string): number {
    let index = this.#words.get(word);
    if (index === undefined) this.#words.set(word, (index = this.#words.size));
    return index;
  }

  #send(): void {
    const spans = new Uint8Array(this.#numbers.buffer.slice(0, this.#gathered * SPAN_NUMBERS * 8));
    this.#node.send("events", { category: this.#category, words: [...this.#words.keys()], spans });
    this.#gathered = 0;
    this.#words = new Map();
  }
}
