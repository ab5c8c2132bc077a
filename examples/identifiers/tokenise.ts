/**
 * Finds the identifiers of JavaScript and TypeScript with a real tokeniser, acorn's: comments, strings, templates, numbers, regular
 * expressions and keywords are none. It was made for JavaScript; a file that it cannot go on with counts up to there.
 */
import { tokenizer, tokTypes } from "acorn";
import { add } from "./table.ts";
import type { Counts } from "./table.ts";

/** Words that are keywords only in some places, which the tokeniser leaves to a parser. */
const KEYWORDS = `abstract any as asserts async await bigint boolean declare enum from get implements infer interface is keyof let module
  namespace never number object of package private protected public readonly require satisfies set static string symbol type undefined
  unique unknown yield`.split(/\s+/);

/** Adds the identifiers of a source text to `counts`, and words that may be keywords. */
export function countIdentifiers(source: string, counts: Counts): void {
  const tokens = tokenizer(source, { ecmaVersion: "latest", sourceType: "module", allowHashBang: true });
  try {
    for (let token = tokens.getToken(); token.type !== tokTypes.eof; token = tokens.getToken()) {
      // A name's value is its text; the types of acorn do not say so.
      if (token.type === tokTypes.name) add(counts, (token as unknown as { readonly value: string }).value, 1);
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
}

/** Takes the words out that may be keywords: once at the end, not one by one for each of a million tokens. */
export function dropKeywords(counts: Counts): void {
  for (const word of KEYWORDS) counts.delete(word);
}
