/**
 * A right body for each message, found from its definition alone: the check of a field says what it wants and where, and that is put
 * there until the check is content.
 */
import { MalformedMessage } from "../../src/protocol/schema.ts";
import type { Shape } from "../../src/protocol/schema.ts";

/** What satisfies the end of a complaint. */
function wanted(text: string): unknown {
  const [, from = "0"] = /^an? (?:number|integer) in \[(-?[\d.e+]+)/.exec(text) ?? [];
  if (text.startsWith("a string")) return "a1";
  if (text.startsWith("a number") || text.startsWith("an integer")) return Math.max(0, Number(from));
  if (text === "a boolean") return false;
  if (text.endsWith("bytes")) return Buffer.from("bytes");
  if (text.endsWith("items")) return [];
  if (text === "a record" || text === "an object") return {};
  if (text.startsWith("one of ")) return text.slice("one of ".length).split(", ")[0];
  throw new Error(`what is ${text}?`);
}

function put(into: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let at = into;
  for (const name of path.slice(0, -1)) at = (at[name] ??= {}) as Record<string, unknown>;
  at[path.at(-1)!] = value;
}

/** The fields of a body that its definition accepts. */
export function exampleOf(shape: Shape): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  for (let tries = 0; tries < 1000; tries++) {
    try {
      for (const [name, schema] of Object.entries(shape)) schema.check(body[name], `body.${name}`);
      return body;
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      const [, path, what] = /^malformed message: body\.(\S+) should be (.*), got /.exec(error.message)!;
      put(body, path!.split("."), wanted(what!));
    }
  }
  throw new Error("no body was found");
}
