/**
 * The state of an object of a known class as a value, and such an object from it: what a checkpoint of an actor is. Its class does not
 * travel with it, as it would with an instance inside a value. The constructor is not run.
 */
import type { FunctionCodec } from "./contract.ts";
import { globalName } from "./globals.ts";
import { deserialize, serialize } from "./hooks.ts";
import { halfHooked, privateFields, refusal } from "./refusals.ts";

export type State =
  /** Its own enumerable fields. */
  | { readonly kind: "fields"; readonly fields: Readonly<Record<string, unknown>> }
  /** What its class made of it. */
  | { readonly kind: "hooked"; readonly data: unknown }
  /** An object that is more than its fields: of a subclass of Map, or other than its class makes. */
  | { readonly kind: "whole"; readonly instance: object };

/** Throws SerializationError for a class whose instances have a state that cannot be told. */
export function requireState(type: Function, functions: FunctionCodec): void {
  if (hooksOf(type) !== undefined) return;
  for (let at: unknown = type; typeof at === "function" && globalName(at) === undefined; at = Object.getPrototypeOf(at)) {
    if (functions.hasPrivateFields?.(at)) throw refusal(type.name, privateFields(type.name, at.name));
  }
}

export function stateOf(type: Function, instance: object, functions: FunctionCodec): State {
  const hooks = hooksOf(type);
  if (hooks !== undefined) return { kind: "hooked", data: Reflect.apply(hooks.write, type, [instance]) };
  requireState(type, functions);
  if (!isPlainOf(type, instance)) return { kind: "whole", instance };
  return { kind: "fields", fields: Object.fromEntries(Object.entries(instance)) };
}

export function withState(type: Function, state: State): object {
  switch (state.kind) {
    case "fields": {
      const instance = Object.create(type.prototype as object) as object;
      for (const [key, value] of Object.entries(state.fields)) {
        Object.defineProperty(instance, key, { value, writable: true, enumerable: true, configurable: true });
      }
      return instance;
    }
    case "hooked":
      return Reflect.apply(hooksOf(type)!.read, type, [state.data]) as object;
    case "whole":
      return state.instance;
    default:
      return state satisfies never;
  }
}

function hooksOf(type: Function): { readonly write: Function; readonly read: Function } | undefined {
  const write: unknown = Reflect.get(type, serialize);
  const read: unknown = Reflect.get(type, deserialize);
  if (typeof write === "function" && typeof read === "function") return { write, read };
  if (typeof write !== "function" && typeof read !== "function") return undefined;
  throw refusal(type.name, halfHooked(type.name, typeof write === "function" ? "deserialize" : "serialize"));
}

/** Whether there is nothing to an object but what its class's methods and its own fields are. */
function isPlainOf(type: Function, instance: object): boolean {
  if (Object.getPrototypeOf(instance) !== type.prototype || Object.getOwnPropertySymbols(instance).length > 0) return false;
  for (let at: unknown = type; at !== Function.prototype; at = Object.getPrototypeOf(at)) {
    if (typeof at !== "function" || globalName(at) !== undefined) return false;
  }
  return true;
}
