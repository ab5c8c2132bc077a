/**
 * Waiting for something to become true, with a reason that is shown when it does not. The polling interval is not a
 * synchronisation: a slow machine only waits longer.
 */
const POLL_MS = 10;

/** Resolves to the first truthy result of `predicate`; rejects after `timeoutMs` with `why` and, if given, the story. */
export async function waitUntil<T>(
  predicate: () => T | Promise<T>,
  why: string,
  options: { timeoutMs?: number; story?: () => string } = {},
): Promise<NonNullable<T>> {
  const timeoutMs = options.timeoutMs ?? 10_000;
  const end = performance.now() + timeoutMs;
  for (;;) {
    const result = await predicate();
    if (result) return result as NonNullable<T>;
    if (performance.now() > end) {
      const story = options.story?.();
      throw new Error(`not true after ${timeoutMs} ms: ${why}${story === undefined ? "" : `\n${story}`}`);
    }
    await new Promise<void>((resolve) => setTimeout(resolve, POLL_MS));
  }
}
