/** Requests for space that wait for their jobs to have less in the store, or for a larger share: in order, and in nobody's way. */
import type { AllocateRequest, Refusal, StoreAccount } from "./types.ts";

export interface WaitingRequest extends AllocateRequest {
  readonly deadline: number;
}

export interface LimitedRequest extends WaitingRequest {
  readonly account: StoreAccount;
}

export class LimitedRequests {
  readonly #sizeFor: (size: number) => number;
  readonly #changed: () => void;
  #requests: LimitedRequest[] = [];

  /** `sizeFor`: what a request takes; `changed`: what jobs wait for is other than before. */
  constructor(sizeFor: (size: number) => number, changed: () => void) {
    this.#sizeFor = sizeFor;
    this.#changed = changed;
  }

  get all(): readonly LimitedRequest[] {
    return this.#requests;
  }

  /** Whether its job may not have that now. */
  holds(request: AllocateRequest): request is AllocateRequest & { readonly account: StoreAccount } {
    return request.account?.storeFits(this.#sizeFor(request.size)) === false;
  }

  /** Whether its job may never have that. */
  never({ account, size }: AllocateRequest): boolean {
    return account !== undefined && this.#sizeFor(size) > account.storeLimit;
  }

  add(request: LimitedRequest): void {
    this.#requests.push(request);
    request.account.storeWaits(this.#sizeFor(request.size));
    this.#changed();
  }

  /** Takes those out that the limits let go on. */
  admit(): LimitedRequest[] {
    return this.drop((request) => !this.holds(request));
  }

  drop(goes: (request: LimitedRequest) => boolean): LimitedRequest[] {
    const gone = this.#requests.filter(goes);
    if (gone.length === 0) return gone;
    this.#requests = this.#requests.filter((request) => !gone.includes(request));
    for (const { account, size } of gone) account.storeWaits(-this.#sizeFor(size));
    this.#changed();
    return gone;
  }
}

export function jobRefusal({ storeLimit, storeUsed }: StoreAccount): Refusal {
  return { reason: "job-limit", capacity: storeLimit, used: storeUsed, pinned: 0, detail: undefined };
}
