/**
 * Functions and classes that cross a process: the one door of this folder. See ARCHITECTURE.md in the folder's parent for where it stands;
 * the contract that it fulfils is `FunctionCodec` in src/values/contract.ts.
 */
import type { FunctionCodec } from "../values/contract.ts";
import { captureFunction } from "./capture.ts";
import { describeModule, hasPrivateFields } from "./describe.ts";
import { rebuildFunction } from "./rebuild.ts";
import { resolvePlace } from "./references.ts";

export { withCaptures } from "./capture.ts";
export { definitionSite, describeModule, functionName, hasPrivateFields, isClass, isGenerator } from "./describe.ts";
export { importModules } from "./modules.ts";
export { registerWellKnown } from "./wellknown.ts";

export const functionCodec: FunctionCodec = {
  capture: captureFunction,
  resolve: resolvePlace,
  rebuild: rebuildFunction,
  hasPrivateFields,
  describeModule,
};
