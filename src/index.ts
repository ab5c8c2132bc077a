/**
 * The package `mobula`: the public API, with the engine behind it.
 */
import { setEngineFactory } from "./api/session.ts";
import { wellKnown } from "./api/well-known.ts";
import { registerWellKnown } from "./functions/index.ts";
import { startLocal } from "./runtime/client/launch.ts";

export * from "./api/index.ts";

setEngineFactory(startLocal);
registerWellKnown("mobula:", wellKnown);
