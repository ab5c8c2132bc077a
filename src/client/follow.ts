/** A log that is followed: a stream of text, which goes on over a new connection where it was when the one before broke. */
import { JobError } from "../errors/index.ts";
import { send } from "./http.ts";
import type { HttpOptions } from "./http.ts";
import { pause } from "./pause.ts";

/** The head may be away for so long: started again, or reached over a network that fails. */
const AWAY_MS = 60_000;
const AGAIN_MS = 500;

export async function* followLog(
  http: HttpOptions,
  jobId: string,
  path: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let at = 0;
  let reached = false;
  let brokenAt: number | undefined;
  for (;;) {
    try {
      const response = await send(http, { method: "GET", path: `${path}?follow=1&offset=${at}`, jobId, signal, timeoutMs });
      reached = true;
      brokenAt = undefined;
      const reader = response.body!.getReader();
      try {
        for (;;) {
          const { done, value } = await reader.read();
          if (done) {
            const rest = decoder.decode();
            if (rest !== "") yield rest;
            return;
          }
          at += value.byteLength;
          const text = decoder.decode(value, { stream: true });
          if (text !== "") yield text;
        }
      } finally {
        // Also when whoever reads goes away in the middle.
        await reader.cancel().catch(() => undefined);
      }
    } catch (error) {
      signal?.throwIfAborted();
      // An answer that says no is one. Who was never reached is not waited for.
      const passes = error instanceof JobError ? error.status === undefined || error.status === 503 : error instanceof TypeError;
      if (!passes || !reached) throw error;
      brokenAt ??= Date.now();
      if (Date.now() - brokenAt > AWAY_MS) throw error;
    }
    await pause(AGAIN_MS, signal);
  }
}
