/**
 * What the two halves of a link say to each other (src/core/link), beside the messages that the link carries. Integers as f64.
 *
 *   open     sender -> receiver    number of the connection, oldest message that is kept
 *   resume   receiver -> sender    next message expected, what need not be kept
 *   ack      receiver -> sender    the same
 *   refuse   receiver -> sender    u8: 1 fenced, 2 lost
 */
import type { Out } from "./direct.ts";
import { MalformedMessage } from "./schema.ts";

export const LINK_OPEN = 240;
export const LINK_RESUME = 241;
export const LINK_ACK = 242;
export const LINK_REFUSE = 243;
/** The longest of these. */
export const LINK_BYTES_MAX = 16;

export type LinkRefusal = "fenced" | "lost";

export function writeCounts(to: Out, code: typeof LINK_OPEN | typeof LINK_RESUME | typeof LINK_ACK, first: number, second: number): void {
  const at = to.begin(code, 16);
  to.buffer.writeDoubleLE(first, at);
  to.buffer.writeDoubleLE(second, at + 8);
  to.commit();
}

export function readCounts(buffer: Buffer, at: number, end: number): [number, number] {
  if (end - at !== 16) throw new MalformedMessage("link counts", "16 bytes", end - at);
  const counts: [number, number] = [buffer.readDoubleLE(at), buffer.readDoubleLE(at + 8)];
  for (const count of counts) {
    if (!Number.isSafeInteger(count) || count < 0) throw new MalformedMessage("link counts", "a count", count);
  }
  return counts;
}

export function writeRefusal(to: Out, reason: LinkRefusal): void {
  const at = to.begin(LINK_REFUSE, 1);
  to.buffer[at] = reason === "fenced" ? 1 : 2;
  to.commit();
}

export function readRefusal(buffer: Buffer, at: number, end: number): LinkRefusal {
  const reason = buffer[at];
  if (end - at !== 1 || (reason !== 1 && reason !== 2)) throw new MalformedMessage("link refusal", "a known reason", reason);
  return reason === 1 ? "fenced" : "lost";
}
