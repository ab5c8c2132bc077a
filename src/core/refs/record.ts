/** One entry of the RefTable: what is known of an object or actor, and who holds it. */
import type { ActorId, ObjectId, ProcessId } from "../../protocol/ids.ts";
import type { Failure, Payload } from "../../protocol/messages.ts";

export type RefId = ObjectId | ActorId;

export const isActor = (id: RefId): id is ActorId => id.endsWith("-a");

export class RefRecord {
  readonly id: RefId;
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
  /** Its bytes lie in the store, which must be told when it is freed. */
  stored = false;
  /** Who waits for what it is. */
  fetchers: Set<ProcessId> | undefined;

  constructor(id: RefId) {
    this.id = id;
  }

  get held(): boolean {
    return this.holders.size > 0 || this.containers > 0 || this.parcels > 0;
  }

  get settled(): boolean {
    return this.payload !== undefined || this.failure !== undefined;
  }
}
