/**
 * Resource vectors: amounts by name, in ten-thousandths, as integers, so that sums and comparisons are exact.
 * Not the bookkeeping of who holds what: that is `node/ledger.ts`.
 */
import type { ResourceAmounts } from "../protocol/messages.ts";

/** Units in one whole. */
export const SCALE = 10_000;

/** A user's amount in units, or undefined if it is negative, not finite, finer than 0.0001 or beyond exact integers. */
export function amountOf(value: number): number | undefined {
  if (!Number.isFinite(value) || value < 0) return undefined;
  const units = Math.round(value * SCALE);
  if (!Number.isSafeInteger(units)) return undefined;
  // A decimal like 0.1 is not exact in binary: a relative error of a few last bits is the same number to its writer.
  return Math.abs(units - value * SCALE) <= Math.max(1, units) * 1e-9 ? units : undefined;
}

/** All amounts in units, or the name of the first that is no amount. Zeros are left out. */
export function parseResources(values: Readonly<Record<string, number>>): { ok: ResourceAmounts } | { bad: string } {
  const ok: ResourceAmounts = Object.create(null);
  for (const [name, value] of Object.entries(values)) {
    const units = amountOf(value);
    if (units === undefined) return { bad: name };
    if (units > 0) ok[name] = units;
  }
  return { ok };
}

export const copyOf = (amounts: Readonly<ResourceAmounts>): ResourceAmounts => Object.assign(Object.create(null), amounts);

export function addTo(sum: ResourceAmounts, amounts: Readonly<ResourceAmounts>): void {
  for (const name in amounts) sum[name] = (sum[name] ?? 0) + amounts[name]!;
}

export function subtractFrom(sum: ResourceAmounts, amounts: Readonly<ResourceAmounts>): void {
  for (const name in amounts) sum[name] = (sum[name] ?? 0) - amounts[name]!;
}

export function sumOf(vectors: Iterable<Readonly<ResourceAmounts>>): ResourceAmounts {
  const sum: ResourceAmounts = Object.create(null);
  for (const vector of vectors) addTo(sum, vector);
  return sum;
}

/** What `a` asks beyond `b`, amount by amount. */
export function excessOf(a: Readonly<ResourceAmounts>, b: Readonly<ResourceAmounts>): ResourceAmounts {
  const rest: ResourceAmounts = Object.create(null);
  for (const name in a) {
    const more = a[name]! - (b[name] ?? 0);
    if (more > 0) rest[name] = more;
  }
  return rest;
}

export function fits(demand: Readonly<ResourceAmounts>, free: Readonly<ResourceAmounts>): boolean {
  for (const name in demand) if (demand[name]! > (free[name] ?? 0)) return false;
  return true;
}

export function isEmpty(amounts: Readonly<ResourceAmounts>): boolean {
  for (const name in amounts) if (amounts[name] !== 0) return false;
  return true;
}

export function equal(a: Readonly<ResourceAmounts>, b: Readonly<ResourceAmounts>): boolean {
  return isEmpty(excessOf(a, b)) && isEmpty(excessOf(b, a));
}

/** In whole units, as users write them. */
export function inWholes(amounts: Readonly<ResourceAmounts>): Record<string, number> {
  return Object.fromEntries(Object.entries(amounts).map(([name, units]) => [name, units / SCALE]));
}

/** Names in a message to people, and characters of one. */
const SHOWN_MAX = 12;
const NAME_MAX = 64;

function brief(name: string): string {
  return name.length <= NAME_MAX ? name : `${name.slice(0, NAME_MAX - 1)}…`;
}

/** For messages to people: `{CPU: 2, GPU: 0.5}`. */
export function describeResources(amounts: Readonly<ResourceAmounts>): string {
  const parts = Object.entries(amounts).filter(([, units]) => units !== 0);
  const shown = parts.slice(0, SHOWN_MAX).map(([name, units]) => `${brief(name)}: ${units / SCALE}`);
  if (parts.length > SHOWN_MAX) shown.push(`${parts.length - SHOWN_MAX} more`);
  return `{${shown.join(", ")}}`;
}
