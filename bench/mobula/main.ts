/** The driver of this project: all its loops, in one process. */
import * as ray from "mobula";
import { serve } from "../runner/serve.ts";
import { loops as actors } from "./actors.ts";
import { loops as nodes } from "./nodes.ts";
import { loops as objects } from "./objects.ts";
import { loops as scale } from "./scale.ts";
import { loops as start } from "./start.ts";
import { loops as tasks } from "./tasks.ts";

await serve({ ...tasks, ...actors, ...objects, ...scale, ...start, ...nodes }, () => ray.shutdown());
