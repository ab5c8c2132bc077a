/** Where tasks of tasks are placed: in the group of what submits them, if that group captures them; in any of its bundles. */
import type { Strategy } from "../protocol/messages.ts";

export function childStrategy(strategy: Strategy): Strategy | undefined {
  return strategy.kind === "group" && strategy.captureChildTasks ? { ...strategy, bundleIndex: -1 } : undefined;
}
