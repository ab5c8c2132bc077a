/**
 * Finds the identifiers of JavaScript and TypeScript: comments, strings, numbers and keywords are left out. It is a scanner
 * and not a parser: words in template strings count too, and a quote inside a regular expression hides the rest of its line.
 */
const KEYWORDS = new Set(
  `abstract any as asserts async await bigint boolean break case catch class const continue debugger declare default delete do else
  enum export extends false finally for from function get if implements import in infer instanceof interface is keyof let module
  namespace never new null number object of private protected public readonly require return satisfies set static string super switch
  symbol this throw true try type typeof undefined unique unknown var void while with yield`.split(/\s+/),
);

const TOKEN = new RegExp(
  [
    String.raw`\/\/[^\n]*`, // A comment to the end of the line,
    String.raw`\/\*[^]*?\*\/`, // a comment in between,
    String.raw`"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'`, // a string,
    String.raw`\b\d[\w.]*`, // a number,
    String.raw`((?:[A-Za-z_]|\$(?!\{))(?:\w|\$(?!\{))*)`, // an identifier or keyword.
  ].join("|"),
  "g",
);

/** Adds the identifiers of a source text to `counts`; gives how many there were. */
export function countIdentifiers(source: string, counts: Map<string, number>): number {
  let found = 0;
  for (const match of source.matchAll(TOKEN)) {
    const name = match[1];
    if (name === undefined || KEYWORDS.has(name)) continue;
    counts.set(name, (counts.get(name) ?? 0) + 1);
    found++;
  }
  return found;
}
