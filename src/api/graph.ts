/**
 * Lazy graphs: nodes made by `.bind()`, submitted by `.execute()`. Knows nothing of tasks and actors but a function that submits.
 */
import { inspect } from "node:util";
import { InvalidOptionError } from "../errors/index.ts";
import { isObjectRef } from "../runtime/engine.ts";
import type { LazyNode } from "./remote-types.ts";

type Submit = (args: readonly unknown[]) => unknown;

/** The class behind `LazyNode`. Nodes do not cross processes: their refs do. */
export class GraphNode implements LazyNode<unknown> {
  readonly #submit: Submit;
  readonly #args: readonly unknown[];
  readonly #label: string;

  constructor(label: string, args: readonly unknown[], submit: Submit) {
    this.#label = label;
    this.#args = args;
    this.#submit = submit;
  }

  /** Depth first without recursion: a chain of nodes may be long. */
  execute(): unknown {
    const results = new Map<GraphNode, unknown>();
    const stack: GraphNode[] = [this];
    for (let node = stack.at(-1); node !== undefined; node = stack.at(-1)) {
      const missing = results.has(node) ? [] : node.#args.filter((arg): arg is GraphNode => isNode(arg) && !results.has(arg));
      if (missing.length > 0) {
        stack.push(...missing.toReversed());
        continue;
      }
      stack.pop();
      if (!results.has(node)) results.set(node, node.#submit(node.#arguments(results)));
    }
    return results.get(this);
  }

  #arguments(results: ReadonlyMap<GraphNode, unknown>): unknown[] {
    return this.#args.map((arg, i) => {
      if (!isNode(arg)) return arg;
      const result = results.get(arg);
      if (isObjectRef(result)) return result;
      throw new InvalidOptionError(
        `Argument ${i} of ${this.#label} is ${arg.#label}, a node that gives several refs or a stream. Bind a node that gives one ref.`,
        { option: `args[${i}]`, value: arg },
      );
    });
  }

  [inspect.custom](): string {
    return `LazyNode(${this.#label})`;
  }
}

const isNode = (value: unknown): value is GraphNode => value instanceof GraphNode;
