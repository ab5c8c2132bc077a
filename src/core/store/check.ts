/** The invariants of the store machine. Reads its state, never changes it. */
import type { ObjectId } from "../../protocol/ids.ts";
import type { Arena, Segment } from "./arena.ts";
import { GrantedSpace } from "./stored.ts";
import type { Holder, StoredObject } from "./stored.ts";
import type { LimitedRequest } from "./limited.ts";
import type { ObjectKey, StoreAccount } from "./types.ts";

export interface StoreState {
  readonly arena: Arena<Holder>;
  readonly grants: ReadonlyMap<number, GrantedSpace>;
  readonly limited: readonly LimitedRequest[];
  readonly objects: ReadonlyMap<ObjectKey, StoredObject>;
  readonly byId: ReadonlyMap<ObjectId, StoredObject>;
  readonly idle: ReadonlyMap<ObjectKey, StoredObject>;
  readonly idleCopies: ReadonlyMap<ObjectKey, StoredObject>;
  readonly restores: readonly StoredObject[];
  readonly spillingBytes: number;
  readonly spilled: number;
  readonly spilledBytes: number;
}

function insist(condition: boolean, story: () => string): void {
  if (!condition) throw new Error(`store: ${story()}`);
}

/** Throws with the story of the first invariant that is broken. */
export function checkStore(state: StoreState): void {
  state.arena.check();
  checkSegments(state);
  checkAccounts(state);
  let spilling = 0;
  let spilled = 0;
  let spilledBytes = 0;
  for (const [key, object] of state.objects) {
    insist(key === object.key, () => `object ${object.key} is filed under ${key}`);
    checkObject(state, object);
    if (object.state === "spilling") spilling += object.segment!.size;
    if (object.state === "spilled" || object.state === "restoring") {
      spilled++;
      spilledBytes += object.size;
    }
  }
  insist(spilling === state.spillingBytes, () => `${spilling} bytes are being spilled, ${state.spillingBytes} counted`);
  insist(
    spilled === state.spilled && spilledBytes === state.spilledBytes,
    () => `${spilled} objects of ${spilledBytes} bytes are spilled, ${state.spilled} of ${state.spilledBytes} counted`,
  );
  for (const [id, object] of state.byId) {
    insist(object.id === id && state.objects.get(object.key) === object, () => `${id} names an object that is not there`);
    insist(!object.freed, () => `${id} was freed and can still be found`);
  }
  for (const object of state.restores) {
    insist(
      object.state === "restoring" && !object.segment && state.objects.get(object.key) === object,
      () => `${object.key} waits to be restored and is ${object.state}`,
    );
  }
}

function checkAccounts({ grants, objects, limited }: StoreState): void {
  const charged = new Map<StoreAccount, number>();
  const add = (account: StoreAccount | undefined, bytes: number): void => {
    if (account !== undefined) charged.set(account, (charged.get(account) ?? 0) + bytes);
  };
  for (const { account, segments } of grants.values()) for (const { size } of segments) add(account, size);
  for (const { account, charged: bytes } of objects.values()) add(account, bytes);
  for (const { account, request } of limited)
    insist(account.storeLimit > 0, () => `request ${request} waits for a job that may have nothing`);
  for (const [account, bytes] of charged) {
    insist(account.storeUsed === bytes, () => `a job has ${bytes} bytes here, ${account.storeUsed} charged`);
  }
}

function checkSegments(state: StoreState): void {
  let held = 0;
  let taken = 0;
  for (const segment of state.arena.segments()) {
    if (segment.holder === undefined) continue;
    held++;
    taken += segment.size;
    const right =
      segment.holder instanceof GrantedSpace
        ? state.grants.get(segment.holder.serial) === segment.holder && segment.holder.segments.has(segment)
        : state.objects.get(segment.holder.key) === segment.holder && segment.holder.segment === segment;
    insist(right, () => `the segment at ${segment.offset} belongs to something that does not know it`);
  }
  insist(
    taken + state.arena.freeBytes === state.arena.capacity,
    () => `${taken} taken and ${state.arena.freeBytes} free are not ${state.arena.capacity}`,
  );
  const known: Segment<Holder>[] = [];
  for (const grant of state.grants.values()) {
    insist(grant.segments.size > 0, () => `grant ${grant.serial} is empty`);
    known.push(...grant.segments);
  }
  for (const object of state.objects.values()) if (object.segment) known.push(object.segment);
  insist(known.length === held, () => `${known.length} segments are known, ${held} taken`);
}

function checkObject(state: StoreState, object: StoredObject): void {
  const { key } = object;
  for (const [process, count] of object.pins) insist(count > 0, () => `${key} has ${count} pins of ${process}`);
  insist(!(object.freed && object.unannouncedBy !== undefined), () => `${key} was freed and still waits to be announced`);
  const resident = object.state === "resident";
  insist(object.segment === undefined || object.segment.size >= object.size, () => `${key} has too little memory`);
  insist(
    object.segment !== undefined || object.state === "spilled" || object.state === "restoring",
    () => `${key} is ${object.state} without memory`,
  );
  insist(object.segment === undefined || object.state !== "spilled", () => `${key} is spilled and has memory`);
  insist(object.onDisk || resident || object.state === "spilling", () => `${key} is ${object.state} without a file`);
  insist(object.waiters.length === 0 || object.state === "restoring", () => `${key} is ${object.state} and is waited for`);
  if (object.state === "restoring" && !object.segment) insist(state.restores.includes(object), () => `${key} waits for space in no queue`);
  const idle = resident && object.pins.size === 0;
  insist(!(idle && object.freed), () => `${key} was freed, nobody reads it, and it is still there`);
  insist((object.copy ? state.idleCopies : state.idle).has(key) === idle, () => `${key} is ${idle ? "not " : ""}in the order of use`);
  insist(state.idle.has(key) !== state.idleCopies.has(key) || !idle, () => `${key} is in both orders of use`);
  if (!object.freed) insist(state.byId.get(object.id) === object, () => `${key} cannot be found by its id ${object.id}`);
}
