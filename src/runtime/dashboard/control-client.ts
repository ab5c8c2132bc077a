/** Control, as the dashboard asks it: wherever it is now, again while it is away for a moment, a bounded number of questions at a time. */
import { ask, parseAddress, tokenCredential } from "../network/index.ts";
import type { Question, Secret, TlsChoice } from "../network/index.ts";
import { busy, HttpError } from "./refusal.ts";

/** A control that is started again is back within this time. */
const AWAY_MS = 10_000;
const PAUSE_MS = 100;
const OPEN_MAX = 400;

export interface ControlClientOptions {
  readonly addresses: readonly string[];
  readonly token: Secret;
  readonly clusterId: string;
  readonly tls?: TlsChoice;
}

export class ControlClient {
  readonly #options: ControlClientOptions;
  #addresses: readonly string[];
  #open = 0;

  constructor(options: ControlClientOptions) {
    this.#options = options;
    this.#addresses = options.addresses;
  }

  /** Where it is now, or may be. */
  controlAt(addresses: readonly string[]): void {
    this.#addresses = addresses;
  }

  /** Every question may come twice: to a control that ended before it could answer, and to the next. */
  async ask<T>(question: Question): Promise<T> {
    if (this.#open >= OPEN_MAX) throw busy(`There are ${OPEN_MAX} requests under way.`);
    this.#open++;
    try {
      return (await this.#askUntilAnswered(question)) as T;
    } finally {
      this.#open--;
    }
  }

  async #askUntilAnswered(question: Question): Promise<unknown> {
    const { token, clusterId, tls } = this.#options;
    const self = { role: "client" as const, id: `dashboard-${process.pid}`, incarnation: Date.now() };
    const how = { self, credentials: tokenCredential(token), expect: { clusterId }, ...(tls === undefined ? {} : { tls }) };
    for (const until = Date.now() + AWAY_MS; ;) {
      let failed: unknown;
      for (const address of this.#addresses) {
        try {
          return await ask({ ...parseAddress(address), ...how }, question);
        } catch (error) {
          failed = error;
        }
      }
      if (Date.now() >= until) throw away(failed);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

function away(error: unknown): HttpError {
  const why = error instanceof Error ? error.message : String(error);
  return new HttpError(503, "CONTROL_UNAVAILABLE", `Control does not answer: ${why}`, { headers: { "retry-after": "1" } });
}
