/**
 * What tests of real processes stand on: start a program, watch it, hurt it, and see that nothing of it is left.
 * Everything here is exported from this one file. It knows nothing of the engine's inside.
 *
 *   import { freshFolder, leakChecked, runProgram, startProgram, kill, freeze, thaw, waitUntil } from "../harness/index.ts";
 *
 *   leakChecked();                                   // once a file: after each test nothing may be left
 *   test("...", async (t) => {
 *     const program = startProgram(t, "test/x/programs/loop.ts", { timeoutMs: 20_000 });
 *     await program.output(/ready/);
 *     const [worker] = program.children();           // live processes below it, not itself
 *     kill(worker.pid);
 *     await waitUntil(() => program.children().length === 0, "the worker is gone");
 *     const { code, stdout } = await program.ended;
 *   });
 */
export { freshFolder, leakChecked, leftovers } from "./leaks.ts";
export { freeze, kill, processesWith, thaw } from "./processes.ts";
export type { LiveProcess } from "./processes.ts";
export { runProgram, startProgram } from "./program.ts";
export type { Ended, Program, ProgramOptions } from "./program.ts";
export { waitUntil } from "./wait.ts";
