/** One entry of the RefTable: what is known of an object or actor, and who holds it. */
import type { ActorId, NodePrefix, ObjectId, ProcessId } from "../../protocol/ids.ts";
import type { Failure, Payload } from "../../protocol/messages.ts";

export type RefId = ObjectId | ActorId;

export const isActor = (id: RefId): id is ActorId => id.endsWith("-a");

export class RefRecord {
  readonly id: RefId;
  /** Its home is another node: this one only knows who holds it here. */
  readonly borrowed: boolean;
  /** Counts, all above zero: each process says itself what it holds. */
  readonly holders = new Map<ProcessId, number>();
  /** Records that contain this one, counted once for each time that they name it. */
  containers = 0;
  /** Parcels under way that it is in. */
  parcels = 0;
  /** What it contains, and so holds. */
  contents: readonly RefId[] = [];
  /** What it is, or why it will not be; undefined while it is being made. */
  payload: Payload | undefined;
  failure: Failure | undefined;
  /** Its owner made it known (`objectEscape`, `actorDeclare`), and held it once by that. */
  escaped = false;
  /** It had been freed, and something named it once more; whether its owner had made it known before. */
  freedBefore: { readonly known: boolean } | undefined;
  /** Its bytes lie in this node's store, which must be told when it is freed. */
  stored = false;
  /** Other nodes that have its bytes. */
  locations: Set<NodePrefix> | undefined;
  /** The node among them whose bytes must stay; the others have copies. */
  primaryAt: NodePrefix | undefined;
  /** Where its owner says that it was made and stored. */
  madeAt: NodePrefix | undefined;
  /** Nodes that want to know where its bytes are, once they are somewhere. */
  locators: Set<NodePrefix> | undefined;
  /** Who waits for what it is. */
  fetchers: Set<ProcessId> | undefined;
  /** Borrowed: how often this node holds it at its home. */
  credits = 0;
  /** Borrowed: its home was asked what it is. */
  asked = false;
  /** Borrowed: its bytes were made here, and stay until its home says that nobody holds it. */
  primary = false;
  /** An actor's: holds another, which it is another name of. */
  alias = false;

  constructor(id: RefId, borrowed: boolean) {
    this.id = id;
    this.borrowed = borrowed;
  }

  get held(): boolean {
    return this.holders.size > 0 || this.containers > 0 || this.parcels > 0;
  }

  /** Whether somebody waits for what it is, or where. */
  get awaited(): boolean {
    return (this.fetchers?.size ?? 0) > 0 || (this.locators?.size ?? 0) > 0;
  }

  /** Whether the store of any node has its bytes. */
  get somewhere(): boolean {
    return this.stored || (this.locations?.size ?? 0) > 0;
  }

  /** Who alone holds it. */
  get holder(): ProcessId | undefined {
    if (this.holders.size !== 1 || this.containers > 0 || this.parcels > 0) return undefined;
    return this.holders.keys().next().value;
  }

  get settled(): boolean {
    return this.payload !== undefined || this.failure !== undefined;
  }
}
