/**
 * Arguments on their way: refs are told from values, and values that are large go into the store first, as refs of their own.
 */
import { ObjectRef } from "../../core/owner/object-ref.ts";
import { ConnectionError, explain } from "../../errors/index.ts";
import type { InlinePayload } from "../../protocol/direct.ts";
import { packedSize } from "../../values/codec.ts";
import type { Client } from "./client.ts";
import { INLINE_MAX, NO_ARGUMENTS } from "./packing.ts";

export interface Arguments {
  /** The list of arguments, with holes where refs were. */
  readonly payload: InlinePayload;
  readonly refArgs: { readonly index: number; readonly ref: ObjectRef }[] | undefined;
  /** Refs and handles inside. */
  readonly holds: readonly object[] | undefined;
}

const NONE: Arguments = { payload: NO_ARGUMENTS, refArgs: undefined, holds: undefined };

export function packArguments(client: Client, args: readonly unknown[]): Arguments {
  if (args.length === 0) return NONE;
  let refArgs: { index: number; ref: ObjectRef }[] | undefined;
  let plain: unknown[] | undefined;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (!(arg instanceof ObjectRef)) continue;
    if (arg.home !== client) throw foreign(`the object ${arg.id}`);
    (refArgs ??= []).push({ index: i, ref: arg });
    plain ??= [...args];
    plain[i] = undefined;
  }
  const { packing } = client;
  let encoded = packing.encode(plain ?? args, "args");
  if ((encoded.buffers.length > 0 || encoded.inband.byteLength > INLINE_MAX) && packedSize(encoded) > INLINE_MAX) {
    plain ??= [...args];
    refArgs ??= [];
    storeLarge(client, plain, refArgs);
    encoded = packing.encode(plain, "args");
  }
  const payload: InlinePayload = { kind: "inline", bytes: packing.inline(encoded), refs: packing.escape(encoded) };
  return { payload, refArgs, holds: encoded.refs.length > 0 ? encoded.refs : undefined };
}

/** Each argument that is large by itself becomes an object; what it shares with others is copied. */
function storeLarge(client: Client, plain: unknown[], refArgs: { index: number; ref: ObjectRef }[]): void {
  for (let i = 0; i < plain.length; i++) {
    const value = plain[i];
    if (typeof value === "number" || typeof value === "boolean" || value === undefined || value === null) continue;
    if (packedSize(client.packing.encode(value, `args[${i}]`)) <= INLINE_MAX) continue;
    refArgs.push({ index: i, ref: client.put(value) });
    plain[i] = undefined;
  }
}

export function foreign(what: string): ConnectionError {
  return new ConnectionError(
    explain(
      `${capitalised(what)} belongs to a cluster that this program is not connected to any more`,
      "It was shut down since",
      "Make refs and handles anew",
    ),
  );
}

const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
