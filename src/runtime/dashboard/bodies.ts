/** Bodies of requests: JSON that is small, and bytes that go to the disk as they come. Whoever stops in the middle is not waited for. */
import type { IncomingMessage } from "node:http";
import { sizeText } from "../environments/limits.ts";
import type { Limits } from "./limits.ts";
import { HttpError } from "./refusal.ts";

export async function readJson(request: IncomingMessage, limits: Limits): Promise<unknown> {
  const type = request.headers["content-type"] ?? "";
  if (!/^application\/(?:[\w.+-]+\+)?json\s*(?:;\s*charset="?utf-?8"?\s*)?$/i.test(type)) {
    throw new HttpError(
      415,
      "NOT_JSON",
      `The body must be JSON, with the header Content-Type: application/json. It is ${JSON.stringify(type.slice(0, 100))}.`,
    );
  }
  const coding = request.headers["content-encoding"] ?? "identity";
  if (coding.toLowerCase() !== "identity") {
    throw new HttpError(415, "NOT_JSON", `The body must be JSON as it is. It is ${JSON.stringify(coding.slice(0, 100))}.`);
  }
  const parts: Uint8Array[] = [];
  for await (const part of bytesOf(request, limits.jsonBytes, { allMs: limits.jsonMs })) parts.push(part);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(parts)));
  } catch (error) {
    throw new HttpError(422, "INVALID_BODY", `The body is no JSON: ${(error as Error).message}.`, { field: "body" });
  }
}

export const tooLarge = (most: number): HttpError =>
  new HttpError(413, "TOO_LARGE", `The body has more than ${sizeText(most)}.`, { headers: { connection: "close" } });

/** Of a body that says how long it is. */
export function checkLength(request: IncomingMessage, most: number): void {
  if (Number(request.headers["content-length"] ?? 0) > most) throw tooLarge(most);
}

/** In so long altogether, or with no longer a pause than so long. Rejects with HttpError; the connection is to be closed then. */
export async function* bytesOf(
  request: IncomingMessage,
  most: number,
  time: { readonly allMs: number } | { readonly stallMs: number },
): AsyncGenerator<Uint8Array> {
  let late = false;
  const stop = (): void => {
    late = true;
    request.destroy();
  };
  let timer = setTimeout(stop, "allMs" in time ? time.allMs : time.stallMs);
  let size = 0;
  try {
    // The request stays open: the answer goes out over its connection.
    for await (const part of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += part.byteLength;
      if (size > most) throw tooLarge(most);
      if ("stallMs" in time) {
        clearTimeout(timer);
        timer = setTimeout(stop, time.stallMs);
      }
      yield part;
    }
    if (!request.complete) throw cut(late);
  } catch (error) {
    if (error instanceof HttpError) throw error;
    throw (error as NodeJS.ErrnoException).code === "ECONNRESET" || request.destroyed ? cut(late) : error;
  } finally {
    clearTimeout(timer);
  }
}

const cut = (late: boolean): HttpError =>
  new HttpError(late ? 408 : 400, late ? "TOO_SLOW" : "CUT_OFF", late ? "The body did not come in time." : "The body did not come whole.");
