/** Folders for tests of environments: outside of this package, so that its own node_modules is not found from there. */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

// Before the harness takes TMPDIR for itself, or after: its folder is watched for what engines leave, this one is not.
const parent = process.env["MOBULA_TEST_MARK"] === undefined ? os.tmpdir() : path.dirname(os.tmpdir());

/** An empty folder that goes with its test, or with the file (`{ after }`). */
export function folderFor(t: { after(clear: () => void): void }): string {
  const folder = fs.mkdtempSync(path.join(parent, "me-"));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}
