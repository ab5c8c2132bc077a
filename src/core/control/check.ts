/** What is true of the actors of a control after each event. */
import type { ActorId, ProcessId } from "../../protocol/ids.ts";
import type { ActorRecord } from "./actor.ts";

export interface Actors {
  readonly actors: ReadonlyMap<ActorId, ActorRecord>;
  readonly names: ReadonlyMap<string, ActorId>;
  readonly byWorker: ReadonlyMap<ProcessId, ActorRecord>;
  readonly pausing: ReadonlySet<ActorRecord>;
  readonly dead: { has(id: ActorId): boolean };
}

/** Throws with what is not so. */
export function checkActors({ actors, names, byWorker, pausing, dead }: Actors): void {
  for (const [key, id] of names) {
    const actor = actors.get(id);
    if (actor === undefined || actor.phase === "dead") throw new Error(`the name ${key} is that of an actor that is over`);
  }
  for (const [worker, actor] of byWorker) {
    if (actor.phase !== "dead" && actor.worker?.processId !== worker) throw new Error(`actor ${actor.id} is not on ${worker}`);
  }
  for (const actor of actors.values()) {
    const placed = actor.phase === "starting" || actor.phase === "alive";
    if (placed !== (actor.worker !== undefined)) throw new Error(`actor ${actor.id} is ${actor.phase} and its worker is not so`);
    if (placed && byWorker.get(actor.worker!.processId) !== actor) throw new Error(`actor ${actor.id} is not found by its worker`);
    if ((actor.phase === "pausing") !== pausing.has(actor)) throw new Error(`actor ${actor.id} is ${actor.phase} and paused otherwise`);
    if ((actor.phase === "dead") !== dead.has(actor.id)) throw new Error(`actor ${actor.id} is ${actor.phase} and listed otherwise`);
    if (actor.phase === "dead" && (actor.creation !== undefined || actor.reason === undefined)) {
      throw new Error(`actor ${actor.id} is dead and keeps what it was made from, or no reason`);
    }
  }
}
