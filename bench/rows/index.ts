/** All rows, in the order of the table; those of the plots come last. */
import type { Row } from "../definitions.ts";
import { actors } from "./actors.ts";
import { objects } from "./objects.ts";
import { nodes } from "./nodes.ts";
import { plotRows } from "./plots.ts";
import { groups, memory, scale } from "./scale.ts";
import { start } from "./start.ts";
import { tasks } from "./tasks.ts";

export const rows: readonly Row[] = [...tasks, ...actors, ...objects, ...start, ...groups, ...scale, ...memory, ...nodes, ...plotRows];
