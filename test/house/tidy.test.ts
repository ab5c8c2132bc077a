/** The rules of the house that no type checker knows: size, names, headers, words. Functions are measured by the linter, if it is told. */
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { filesBelow, readText, root } from "./sources.ts";

const LINES_MAX = 600;
const FUNCTION_LINES_MAX = 70;
const COLUMNS_MAX = 140;
const CODE = /\.([cm]?[jt]s|tsx)$/;
const TEXT = /(\.([cm]?[jt]s|tsx|json|md|sh|yml|yaml|html|css)|LICENSE|\.npmrc|^run)$/;

const code = filesBelow("", CODE);

test("a file has at most 600 lines of at most 140 characters", () => {
  assert.ok(code.length > 10);
  const wrong = code.flatMap((file) => {
    const lines = readText(file).split("\n");
    const long = lines.flatMap((line, i) => (line.length > COLUMNS_MAX ? [`${file}:${i + 1}: ${line.length} characters`] : []));
    return lines.length - 1 > LINES_MAX ? [`${file}: ${lines.length - 1} lines`, ...long] : long;
  });
  assert.deepEqual(wrong, []);
});

test("no file has a name that says nothing", () => {
  const wrong = code.filter((file) => /^(utils?|helpers?|common|misc|shared|stuff)\./.test(path.basename(file)));
  assert.deepEqual(wrong, []);
});

test("every file starts with a comment that says what it is", () => {
  const wrong = code.filter((file) => !/^(#![^\n]*\n)?\s*(\/\*\*?|\/\/)\s*\S*/.test(readText(file)));
  assert.deepEqual(wrong, []);
});

test("the linter is told of the limits and of floating promises", () => {
  const config = JSON.parse(readText(".oxlintrc.json")) as Record<"rules", Record<string, unknown>> & {
    overrides: Array<{ files: string[]; rules: Record<string, unknown> }>;
  };
  assert.deepEqual(config.rules["max-lines"], ["error", { max: LINES_MAX }]);
  assert.deepEqual(config.rules["max-lines-per-function"], ["error", { max: FUNCTION_LINES_MAX }]);
  assert.equal((config.rules["typescript/no-floating-promises"] as [string])[0], "error");
  // To the linter a `describe` is one function; nothing else is exempt.
  const exempt = config.overrides.filter(({ rules }) => /max-lines|no-floating-promises/.test(Object.keys(rules).join()));
  assert.deepEqual(exempt, [{ files: ["test/**/*.test.ts"], rules: { "max-lines-per-function": "off" } }]);
  const scripts = (JSON.parse(readText("package.json")) as { scripts: Record<string, string> }).scripts;
  assert.match(scripts["lint"]!, /oxlint .*--type-aware/);
});

/** Names that belong to one machine or one company and not into a repository. */
function machineWords(): RegExp[] {
  const [first = ""] = root.split("/").filter((part) => part !== "");
  const common = ["home", "tmp", "usr", "opt", "var", "Users", "builds", "app"];
  const place = common.includes(first) ? root : `/${first}/`;
  const escaped = place.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return [
    new RegExp(`(?<![\\w.~-])${escaped}`),
    /\bregistry\.[a-z-]+\.[a-z]{2,}/i,
    /\bartifactory\b/i,
    /\/Users\/[a-z]/,
    /\/home\/[a-z]+\//,
  ];
}

test("no file names a registry or a place on one machine", () => {
  const patterns = machineWords();
  // This file alone has to write down what is looked for.
  const files = filesBelow("", TEXT).filter((file) => file !== "test/house/tidy.test.ts");
  const wrong = files.flatMap((file) => {
    const text = readText(file);
    return patterns.filter((pattern) => pattern.test(text)).map((pattern) => `${file}: ${pattern.exec(text)![0]}`);
  });
  assert.deepEqual(wrong, []);
  assert.doesNotMatch(readText("package-lock.json"), /"resolved": "http/);
});

test("nothing is left for later", () => {
  const later = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"].join("|")})\\b|\\b(test|it|describe)\\.only\\(`);
  assert.deepEqual(
    code.filter((file) => file !== "test/house/tidy.test.ts" && later.test(readText(file))),
    [],
  );
});
