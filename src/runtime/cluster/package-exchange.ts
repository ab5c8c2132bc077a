/**
 * Packages of environments between nodes: one that is not here is asked for at the others, and fetched in parts from the first that has
 * it. Whoever has fetched one has it for others too.
 */
import { RuntimeEnvError, explain } from "../../errors/index.ts";
import type { NodePrefix } from "../../protocol/ids.ts";
import type { Body } from "../../protocol/messages.ts";
import type { PackageStore } from "../environments/index.ts";

type Part = Body<"packagePart">;

export interface PackagePort {
  want(node: NodePrefix, body: Body<"packageWant">): void;
  part(node: NodePrefix, body: Part): void;
  keep(head: NodePrefix, body: Body<"packageKeep">): void;
  /** The head, if that lives and is another node. */
  head(): NodePrefix | undefined;
  /** Into the folder of this node, if it is not there. */
  fetch(hash: string): Promise<void>;
  /** The living nodes, this one not among them. */
  others(): NodePrefix[];
  /** Of a package in the folder of this node; undefined when it is not there. */
  read(hash: string, offset: number, length: number): Promise<{ bytes: Uint8Array; last: boolean } | undefined>;
}

interface Open {
  readonly node: NodePrefix;
  readonly settle: (part: Part | undefined) => void;
  readonly timer: NodeJS.Timeout;
}

const PART_BYTES = 1024 * 1024;
const WAIT_MS = 15_000;

export class PackageExchange implements PackageStore {
  readonly #port: PackagePort;
  readonly #open = new Map<number, Open>();
  #calls = 0;

  constructor(port: PackagePort) {
    this.#port = port;
  }

  /** What lies on a node others can have: nothing has to be sent to them first. The head fetches it, for when the node is gone. */
  has(hash: string): Promise<boolean> {
    const head = this.#port.head();
    if (head !== undefined) this.#port.keep(head, { hash });
    return Promise.resolve(true);
  }

  /** Another node asks this one, the head, to have it too. */
  keepHere({ hash }: Body<"packageKeep">): void {
    // Whoever needs one that is nowhere is told so.
    this.#port.fetch(hash).catch(() => undefined);
  }

  put(): Promise<void> {
    return Promise.resolve();
  }

  async get(hash: string): Promise<AsyncIterable<Uint8Array>> {
    for (const node of this.#port.others()) {
      const first = await this.#ask(node, hash, 0);
      if (first?.there === true) return this.#rest(node, hash, first);
    }
    throw new RuntimeEnvError(
      explain(
        `Package ${hash.slice(0, 12)} of a runtime environment is not to be had`,
        "No living node of this cluster has it: the node that it was uploaded to is gone, and the head had not fetched it yet",
        "Submit the work again. If that is a job with a package that came over HTTP: Upload it and submit the job again",
      ),
    );
  }

  /** Another node asks. */
  wanted(from: NodePrefix, { call, hash, offset }: Body<"packageWant">): void {
    this.#port.read(hash, offset, PART_BYTES).then(
      (part) => this.#port.part(from, { call, there: part !== undefined, last: part?.last ?? true, bytes: part?.bytes ?? NOTHING }),
      () => this.#port.part(from, { call, there: false, last: true, bytes: NOTHING }),
    );
  }

  came(from: NodePrefix, part: Part): void {
    if (this.#open.get(part.call)?.node === from) this.#settle(part.call, part);
  }

  nodeLost(node: NodePrefix): void {
    for (const [call, open] of [...this.#open]) if (open.node === node) this.#settle(call, undefined);
  }

  stop(): void {
    for (const call of [...this.#open.keys()]) this.#settle(call, undefined);
  }

  async *#rest(node: NodePrefix, hash: string, first: Part): AsyncGenerator<Uint8Array> {
    let part: Part | undefined = first;
    for (let offset = 0; ;) {
      yield part.bytes;
      if (part.last) return;
      offset += part.bytes.byteLength;
      part = await this.#ask(node, hash, offset);
      if (part?.there !== true) {
        throw new RuntimeEnvError(
          explain(
            `Package ${hash.slice(0, 12)} of a runtime environment did not come whole`,
            `Node ${node} stopped sending it`,
            "Try again",
          ),
        );
      }
    }
  }

  /** Undefined when no answer comes. */
  #ask(node: NodePrefix, hash: string, offset: number): Promise<Part | undefined> {
    const call = this.#calls++;
    return new Promise((settle) => {
      this.#open.set(call, { node, settle, timer: setTimeout(() => this.#settle(call, undefined), WAIT_MS) });
      this.#port.want(node, { call, hash, offset });
    });
  }

  #settle(call: number, part: Part | undefined): void {
    const open = this.#open.get(call);
    if (open === undefined) return;
    this.#open.delete(call);
    clearTimeout(open.timer);
    open.settle(part);
  }
}

const NOTHING = new Uint8Array(0);
