/** All rows, in the order of the table. */
import type { Row } from "../definitions.ts";
import { actors } from "./actors.ts";
import { objects } from "./objects.ts";
import { start } from "./start.ts";
import { tasks } from "./tasks.ts";

export const rows: readonly Row[] = [...tasks, ...actors, ...objects, ...start];
