/**
 * Lines of the file that the user wrote, where a loader compiled something else (tsx puts a whole program on a few lines): line breaks go
 * back into the text of a function, at places where a line break means nothing. So stack traces of workers, which never load that file
 * and have no source map of it, show the lines that the user knows.
 */
import { findSourceMap } from "node:module";
import type { Edit } from "./classes.ts";
import { pathOf } from "./modules.ts";
import { child, children, nodes } from "./syntax.ts";
import type { Fragment, SyntaxNode } from "./syntax.ts";

export interface Place {
  readonly line: number;
  readonly column: number;
}

/** Where the function starts in the original file, and the line breaks to insert. Undefined without a source map of that very file. */
export function originalLines(fragment: Fragment, url: string, start: Place): { place: Place; edits: Edit[] } | undefined {
  const path = pathOf(url);
  const map = path === undefined ? undefined : (findSourceMap(path) ?? findSourceMap(url));
  if (map === undefined) return undefined;
  const breaks = [...fragment.text.matchAll(/\n/g)].map((match) => match.index);
  // Offsets are asked for in rising order: the line breaks before them are counted once.
  let passed = 0;
  const original = (offset: number): Place | undefined => {
    while ((breaks[passed] ?? Infinity) < offset) passed++;
    const column = passed === 0 ? start.column + offset : offset - (breaks[passed - 1] ?? 0) - 1;
    const entry = map.findEntry(start.line + passed, column);
    if (!("originalSource" in entry)) return undefined;
    const source = entry.originalSource;
    const same = source === url || source === path || pathOf(source) === path || path?.endsWith(`/${source}`) === true;
    return same ? { line: entry.originalLine, column: entry.originalColumn } : undefined;
  };
  const place = original(0);
  if (place === undefined) return undefined;
  const edits: Edit[] = [];
  let inserted = 0;
  for (const offset of breakable(fragment)) {
    const wanted = original(offset)?.line;
    const here = place.line + inserted + passed;
    if (wanted === undefined || wanted <= here) continue;
    edits.push({ start: offset, end: offset, text: "\n".repeat(wanted - here) });
    inserted += wanted - here;
  }
  return { place, edits };
}

/** Where compiled code stands in the file that the user wrote, in words for a message. */
export function describeOrigin(url: string, place: Place): string {
  const path = pathOf(url);
  const map = path === undefined ? undefined : (findSourceMap(path) ?? findSourceMap(url));
  const entry = map?.findEntry(place.line, place.column);
  const known = entry !== undefined && "originalSource" in entry;
  return describePlace(url, known ? { line: entry.originalLine, column: entry.originalColumn } : place);
}

/** A place in words for a message, such as `main.ts:12:5`; empty for code that was never in a file. */
export function describePlace(url: string, { line, column }: Place): string {
  if (url === "") return "";
  const file =
    url
      .replace(/[?#].*$/, "")
      .split("/")
      .at(-1) ?? url;
  return `${file}:${line + 1}:${column + 1}`;
}

/** Offsets before which a line break changes nothing, in order: statements, members, arguments, elements, bodies of arrows. */
function breakable(fragment: Fragment): number[] {
  const offsets = new Set<number>();
  const add = (list: readonly SyntaxNode[]): void => {
    for (const one of list) if (one.start > fragment.root.start) offsets.add(one.start - fragment.offset);
  };
  const visit = (node: SyntaxNode): void => {
    if (node.type === "BlockStatement" || node.type === "ClassBody" || node.type === "StaticBlock") add(nodes(node["body"]));
    else if (node.type === "CallExpression" || node.type === "NewExpression") add(nodes(node["arguments"]));
    else if (node.type === "ArrayExpression") add(nodes(node["elements"]));
    else if (node.type === "ObjectExpression") add(nodes(node["properties"]));
    else if (node.type === "SwitchCase") add(nodes(node["consequent"]));
    else if (node.type === "ArrowFunctionExpression") {
      const body = child(node, "body");
      if (body !== undefined) add([body]);
    }
    for (const one of children(node)) visit(one);
  };
  visit(fragment.root);
  return [...offsets].toSorted((a, b) => a - b);
}
