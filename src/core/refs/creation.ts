/** The refs in what an actor is made from. */
import type { Body } from "../../protocol/messages.ts";
import type { RefId } from "./record.ts";

type Creation = Pick<Body<"actorCreate">, "argRefs" | "argPayloads">;

/** Objects and actors that it needs to start, each once. */
export function creationRefs(creation: Creation): RefId[] {
  const ids = new Set(creation.argRefs);
  for (const { payload } of creation.argPayloads) {
    if (payload.kind === "stored") ids.add(payload.id);
    else for (const ref of payload.refs ?? []) ids.add(ref);
  }
  return [...ids];
}

/** Those of them that are credited to the worker with the values, first `argRefs`: what is in the store it only reads. */
export function creditedRefs(creation: Creation): RefId[] {
  const ids = new Set(creation.argRefs);
  for (const { payload } of creation.argPayloads) if (payload.kind !== "stored") for (const ref of payload.refs ?? []) ids.add(ref);
  return [...ids];
}
