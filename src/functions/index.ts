/**
 * Functions and classes that cross a process: the one door of this folder. See ARCHITECTURE.md in the folder's parent for where it stands;
 * the contract that it fulfils is `FunctionCodec` in src/values/contract.ts.
 */
import type { FunctionCodec } from "../values/contract.ts";
import { captureFunction } from "./capture.ts";
import { declarationsOf } from "./declarations.ts";
import { openInspector } from "./inspector.ts";
import { describeModule, hasPrivateFields } from "./describe.ts";
import { rebuildFunction } from "./rebuild.ts";
import { resolvePlace } from "./references.ts";

export { withCaptures } from "./capture.ts";
export { definitionSite, describeModule, functionName, hasPrivateFields, isClass, isGenerator } from "./describe.ts";
export { importerOf, importModules } from "./modules.ts";
export { hereOf, originOf, relocate } from "./relocation.ts";
export { registerWellKnown } from "./wellknown.ts";

export const functionCodec: FunctionCodec = {
  capture: captureFunction,
  resolve: resolvePlace,
  rebuild: rebuildFunction,
  hasPrivateFields,
  describeModule,
};

/**
 * What is slow at the first capture (the inspector, V8's list of scripts, the parser), done ahead of it, in a moment when this process has
 * nothing else to do.
 */
export function prepareCapture(): void {
  const inspector = openInspector();
  const facts = inspector?.look(prepareCapture);
  if (!inspector || !facts) return;
  declarationsOf(inspector, facts);
}
