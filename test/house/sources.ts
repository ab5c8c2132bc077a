/**
 * The files of this package as text, for the tests that read them. It knows a little of the syntax of TypeScript: where
 * comments and strings are and what an import looks like, no more.
 */
import fs from "node:fs";
import path from "node:path";

export const root = path.resolve(import.meta.dirname, "../..");

const SKIPPED = new Set(["node_modules", "dist", ".git", ".tmp", "coverage"]);
/** Written badly on purpose, to see what the engine says of it. */
const FIXTURES = "test/functions/fixtures";

/** Paths below `folder`, relative to the package, with forward slashes. */
export function filesBelow(folder: string, ending: RegExp): string[] {
  const found: string[] = [];
  const walk = (relative: string): void => {
    for (const entry of fs.readdirSync(path.join(root, relative), { withFileTypes: true })) {
      const name = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!SKIPPED.has(entry.name) && name !== FIXTURES) walk(name);
      } else if (entry.isFile() && ending.test(entry.name)) found.push(name);
    }
  };
  if (fs.existsSync(path.join(root, folder))) walk(folder);
  return found.sort();
}

export const readText = (file: string): string => fs.readFileSync(path.join(root, file), "utf8");

const COMMENT_OR_STRING = /\/\*[^]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[^]|[^`\\])*`/g;

/** The source without comments and with every string empty. */
export function codeOnly(source: string): string {
  return source.replace(COMMENT_OR_STRING, (match) => (match.startsWith("/") ? " " : '""'));
}

/** The source without comments. */
export function withoutComments(source: string): string {
  return source.replace(COMMENT_OR_STRING, (match) => (match.startsWith("/") ? " " : match));
}

/** What a module imports, types included: the specifiers as written. */
export function importsOf(source: string): string[] {
  const code = withoutComments(source);
  const forms = [
    /(?:^|[;\n}])\s*(?:import|export)\s[^;"'`]*?\sfrom\s*["']([^"']+)["']/g,
    /(?:^|[;\n}])\s*import\s*["']([^"']+)["']/g,
    /\bimport\s*\(\s*["']([^"']+)["']/g,
    /\brequire\s*\(\s*["']([^"']+)["']/g,
  ];
  return forms.flatMap((form) => [...code.matchAll(form)].map((match) => match[1]!));
}
