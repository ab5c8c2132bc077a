/** A garbage collection at once, in this process: Node has one, but keeps it under a flag. */
import v8 from "node:v8";
import vm from "node:vm";

let gc: (() => void) | undefined;

/** What only garbage holds is let go of soon after: finalizers run in later turns. */
export function collectGarbage(): void {
  if (!gc) {
    v8.setFlagsFromString("--expose-gc");
    gc = vm.runInNewContext("gc") as () => void;
  }
  gc();
}
