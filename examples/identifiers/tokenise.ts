/**
 * Finds the identifiers of JavaScript and TypeScript with a real tokeniser, acorn's: comments, strings, templates, numbers, regular
 * expressions and keywords are none. It was made for JavaScript; a file that it cannot go on with counts up to there.
 */
import { tokenizer, tokTypes } from "acorn";

/** Words that are keywords only in some places, which the tokeniser leaves to a parser. */
const KEYWORDS = new Set(
  `abstract any as asserts async await bigint boolean declare enum from get implements infer interface is keyof let module namespace
  never number object of package private protected public readonly require satisfies set static string symbol type undefined unique
  unknown yield`.split(/\s+/),
);

/** Adds the identifiers of a source text to `counts`; gives how many there were. */
export function countIdentifiers(source: string, counts: Map<string, number>): number {
  let found = 0;
  const tokens = tokenizer(source, { ecmaVersion: "latest", sourceType: "module", allowHashBang: true });
  try {
    for (let token = tokens.getToken(); token.type !== tokTypes.eof; token = tokens.getToken()) {
      if (token.type !== tokTypes.name) continue;
      // A name's value is its text; the types of acorn do not say so.
      const name = (token as unknown as { readonly value: string }).value;
      if (KEYWORDS.has(name)) continue;
      counts.set(name, (counts.get(name) ?? 0) + 1);
      found++;
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return found;
}
