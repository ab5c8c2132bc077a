/**
 * The machine that serves: who gets an object from this node, who is sent to one of those who do, and who waits until there is more
 * of it here. So one object goes to many nodes as a tree, and costs its source `fanOut` times its size whatever their number.
 * It sends no bytes itself.
 *
 * A node that is still receiving serves those who have less than it has, so nobody waits for itself in a circle: who gets bytes
 * from a node never has more of them than that node.
 */
import type { NodeId, ObjectId } from "../../protocol/ids.ts";
import { serveLimits } from "./types.ts";
import type { Holding, ServeLimits, ServePort } from "./types.ts";

interface Serve {
  readonly serve: number;
  readonly to: NodeId;
  readonly id: ObjectId;
  readonly from: number;
  state: "parked" | "started";
}

export class ServeMachine {
  readonly #port: ServePort;
  readonly #limits: ServeLimits;
  readonly #serves = new Map<number, Serve>();
  readonly #byId = new Map<ObjectId, Set<Serve>>();
  /** Whose turn it is to be named first. */
  #turn = 0;

  constructor(port: ServePort, limits: Partial<ServeLimits> = {}) {
    this.#port = port;
    this.#limits = { ...serveLimits, ...limits };
  }

  /** How many nodes get this object from here, or wait for it. */
  count(id: ObjectId): number {
    return this.#byId.get(id)?.size ?? 0;
  }

  /** A node wants the bytes from `from` on. `here`: what this node has of it; undefined: nothing. */
  request(serve: number, to: NodeId, id: ObjectId, from: number, insist: boolean, here: Holding | undefined): void {
    if (here === undefined) return this.#port.refuse(serve, "it is not there");
    if (from > here.size) return this.#port.refuse(serve, `it has ${here.size} bytes, and those from ${from} on were asked for`);
    const others = [...(this.#byId.get(id) ?? [])];
    if (here.size > this.#limits.smallBytes) {
      const elsewhere = this.#others(others, to);
      if (others.length >= this.#limits.fanOut && !insist && elsewhere.length > 0) return this.#port.redirect(serve, elsewhere);
      if (others.length >= this.#limits.fanOutMax) return this.#port.refuse(serve, `it is sent to ${others.length} nodes already`);
    }
    const entry: Serve = { serve, to, id, from, state: "parked" };
    this.#serves.set(serve, entry);
    const set = this.#byId.get(id);
    if (set) set.add(entry);
    else this.#byId.set(id, new Set([entry]));
    if (here.whole || here.received > from) this.#start(entry);
  }

  /** A node that receives has so many bytes of it now. */
  received(id: ObjectId, bytes: number): void {
    for (const serve of this.#byId.get(id) ?? []) if (serve.state === "parked" && bytes > serve.from) this.#start(serve);
  }

  /** The pull of it is over. What has started goes on with the copy, if there is one; else it is cut. */
  pullEnded(id: ObjectId, whole: boolean): void {
    for (const serve of [...(this.#byId.get(id) ?? [])]) {
      if (!whole) {
        this.#remove(serve);
        this.#port.refuse(serve.serve, "it was not received to its end");
      } else if (serve.state === "parked") this.#start(serve);
    }
  }

  /** It has all that it wanted, or is gone. */
  closed(serve: number): void {
    const entry = this.#serves.get(serve);
    if (entry) this.#remove(entry);
  }

  check(): void {
    let count = 0;
    for (const [id, set] of this.#byId) {
      if (set.size === 0) throw new Error(`serves: ${id} is served to nobody and remembered`);
      for (const serve of set) {
        if (serve.id !== id || this.#serves.get(serve.serve) !== serve)
          throw new Error(`serves: ${serve.serve} is filed under a wrong object`);
        count++;
      }
    }
    if (count !== this.#serves.size) throw new Error(`serves: ${this.#serves.size} are known, ${count} by their objects`);
  }

  #start(serve: Serve): void {
    serve.state = "started";
    this.#port.start(serve.serve);
  }

  #remove(serve: Serve): void {
    this.#serves.delete(serve.serve);
    const set = this.#byId.get(serve.id);
    set?.delete(serve);
    if (set?.size === 0) this.#byId.delete(serve.id);
  }

  /** In turn, so that those who are sent away spread evenly. */
  #others(serves: readonly Serve[], to: NodeId): NodeId[] {
    const nodes = [...new Set(serves.map((serve) => serve.to))].filter((node) => node !== to);
    const first = nodes.length === 0 ? 0 : this.#turn++ % nodes.length;
    return [...nodes.slice(first), ...nodes.slice(0, first)];
  }
}
