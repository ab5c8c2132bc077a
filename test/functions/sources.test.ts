/** What a script declares is read from its file only as long as the function still stands there as V8 has compiled it. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { declarationsOf } from "../../src/functions/declarations.ts";
import { openInspector } from "../../src/functions/inspector.ts";
import { freshFolder } from "../harness/index.ts";

const CODE = 'import { sep } from "node:path";\nexport const made = () => sep;\n';
/** After it is loaded the file becomes: this, as if it had been so before the process began, or now. */
const CHANGES: readonly [how: string, text: string, when: "before" | "now"][] = [
  ["the same", CODE, "before"],
  ["another in the same places", CODE.replace("node:path", "node:xxxx"), "now"],
  ["with another line in front", `// More.\n${CODE.replace("node:path", "node:fs")}`, "before"],
  ["no JavaScript any more", `${CODE}let x: number;\n`, "before"],
  ["empty", "", "before"],
];

for (const [how, text, when] of CHANGES) {
  test(`a file that is ${how} once its module runs does not change what the module imports`, async (t) => {
    const file = path.join(freshFolder(t), "module.mjs");
    fs.writeFileSync(file, CODE);
    const { made } = (await import(pathToFileURL(file).href)) as { made: () => string };
    fs.writeFileSync(file, text);
    if (when === "before") fs.utimesSync(file, 0, 0);
    const inspector = openInspector()!;
    assert.equal(declarationsOf(inspector, inspector.look(made)!).imports.get("sep")?.specifier, "node:path");
  });
}
