/** Bugs that are planted on purpose, to prove that the simulator finds them. */
import type { Plant } from "./plant.ts";

export const PLANTS: Readonly<Record<string, { make: () => Plant }>> = {};
