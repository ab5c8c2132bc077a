/** The driver of the raw limits. */
import { serve } from "../runner/serve.ts";
import { loops as echo } from "./echo.ts";
import { loops as forks } from "./fork.ts";
import { loops as memory } from "./memory.ts";
import { loops as stream } from "./stream.ts";

await serve({ ...echo, ...memory, ...forks, ...stream });
