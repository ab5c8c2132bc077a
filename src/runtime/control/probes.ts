/**
 * Looks whether a node that is not heard is there at all. Its daemon listens as long as it lives, also when it is stopped: where its
 * machine refuses the connection, or another node answers, it is gone. A machine that says nothing, or a network that is cut, tells
 * nothing.
 */
import { ConnectionError } from "../../errors/index.ts";
import type { NodeId } from "../../protocol/ids.ts";
import { dial, formatAddress, PROBE } from "../network/index.ts";
import type { Address, DialOptions } from "../network/index.ts";

/** Under way at a time; who finds no room is looked for again soon. */
const PROBES_MAX = 64;
const PROBE_MS = 2_000;

export class Probes {
  readonly #proof: Pick<DialOptions, "self" | "credentials" | "tls"> & { readonly clusterId: string };
  readonly #absent: (id: NodeId, why: string) => void;
  readonly #open = new Map<NodeId, AbortController>();

  constructor(
    proof: Pick<DialOptions, "self" | "credentials" | "tls"> & { readonly clusterId: string },
    absent: (id: NodeId, why: string) => void,
  ) {
    this.#proof = proof;
    this.#absent = absent;
  }

  look(id: NodeId, address: Address): void {
    if (this.#open.has(id) || this.#open.size >= PROBES_MAX) return;
    const giveUp = new AbortController();
    this.#open.set(id, giveUp);
    void this.#look(id, address, giveUp.signal).then((why) => {
      if (this.#open.get(id) !== giveUp) return;
      this.#open.delete(id);
      if (why !== undefined) this.#absent(id, why);
    });
  }

  stop(): void {
    for (const giveUp of this.#open.values()) giveUp.abort(new Error("control ends"));
    this.#open.clear();
  }

  /** Why it cannot be there; undefined if it is, or may be. */
  async #look(id: NodeId, { host, port }: Address, signal: AbortSignal): Promise<string | undefined> {
    const { clusterId, ...proof } = this.#proof;
    try {
      const { socket } = await dial({
        host,
        port,
        ...proof,
        purpose: PROBE,
        expect: { clusterId, role: "node", id },
        timeoutMs: PROBE_MS,
        signal,
      });
      socket.on("error", () => {});
      socket.destroy();
      return undefined;
    } catch (error) {
      if (!(error instanceof ConnectionError)) return undefined;
      const where = formatAddress({ host, port });
      if (error.reason === "refused") return `nothing listens at ${where}`;
      return error.reason === "peer" ? `another process of the cluster listens at ${where}` : undefined;
    }
  }
}
