/**
 * The lines that processes write into the doorbell pipe of their daemon, past their connection: each is JSON and shorter than
 * PIPE_BUF, so lines of several writers never mix. Encoding and decoding only.
 */
import type { Place } from "../core/store/types.ts";
import type { ObjectId } from "../protocol/ids.ts";
import type { SpaceReport, SpaceRequest } from "./backend.ts";

/** PIPE_BUF is 4096 on Linux. */
const LINE_LIMIT = 4096;

export interface DoorbellLine {
  readonly slot: number;
  readonly tenant: number;
  readonly reports: readonly SpaceReport[];
  readonly ask: (SpaceRequest & { readonly number: number }) | undefined;
  readonly reserve: boolean;
}

type Wire = { s: number; t: number; r?: unknown[][]; a?: [number, number, number, number]; v?: 1 };

export interface DoorbellContent {
  readonly reports: readonly SpaceReport[];
  readonly ask?: SpaceRequest & { readonly number: number };
  readonly reserve?: true;
}

/** Reports first, as many lines as it takes; the question is in the last one. */
export function encodeLines(slot: number, tenant: number, content: DoorbellContent): Uint8Array[] {
  const lines: Uint8Array[] = [];
  const encode = (wire: Wire) => lines.push(new TextEncoder().encode(`${JSON.stringify(wire)}\n`));
  const rows = content.reports.map(encodeReport);
  let batch: unknown[][] = [];
  let length = 0;
  for (const row of rows) {
    // Ids are plain ASCII: as long in bytes as in characters.
    const rowLength = JSON.stringify(row).length + 1;
    if (length + rowLength > LINE_LIMIT - 256) {
      encode({ s: slot, t: tenant, r: batch });
      batch = [];
      length = 0;
    }
    batch.push(row);
    length += rowLength;
  }
  const wire: Wire = { s: slot, t: tenant };
  if (batch.length > 0) wire.r = batch;
  if (content.ask) wire.a = [content.ask.number, content.ask.size, content.ask.slab, content.ask.timeoutMs];
  if (content.reserve) wire.v = 1;
  encode(wire);
  return lines;
}

/** Cuts what is read from the pipe into lines. */
export class DoorbellReader {
  #rest = "";

  *push(chunk: Uint8Array): Generator<DoorbellLine> {
    const lines = (this.#rest + new TextDecoder().decode(chunk)).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const wire = JSON.parse(line) as Wire;
      yield {
        slot: wire.s,
        tenant: wire.t,
        reports: (wire.r ?? []).map(decodeReport),
        ask: wire.a && { number: wire.a[0], size: wire.a[1], slab: wire.a[2], timeoutMs: wire.a[3] },
        reserve: wire.v === 1,
      };
    }
  }
}

function encodeReport(report: SpaceReport): unknown[] {
  if (report.kind === "released") return [report.seq, report.serial];
  if (report.kind === "unpinned") return [report.seq, report.key];
  return [report.seq, report.id, report.place.serial, report.place.offset, report.place.size, report.pin ? 1 : 0];
}

function decodeReport(row: unknown[]): SpaceReport {
  const [seq, second, ...rest] = row as [number, number | string, ...number[]];
  if (typeof second === "number") return { seq, kind: "released", serial: second };
  if (rest.length === 0) return { seq, kind: "unpinned", key: second };
  const [serial = 0, offset = 0, size = 0, pin = 0] = rest;
  const place: Place = { serial, offset, size };
  return { seq, kind: "sealed", id: second as ObjectId, place, pin: pin === 1 };
}
