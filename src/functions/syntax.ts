/**
 * Text of a function to syntax tree: what kind of thing the text is, and how it must be wrapped to be an expression.
 * Not here: what the names in it mean (scope.ts).
 */
import { createRequire } from "node:module";

type Parse = (typeof import("acorn"))["parse"];

let parser: Parse | undefined;

/** Loaded when first asked for: most workers never look at the text of a function. */
const parse: Parse = (source, options) => {
  parser ??= (createRequire(import.meta.url)("acorn") as { parse: Parse }).parse;
  return parser(source, options);
};

export function textOfFunction(fn: Function): string {
  return Function.prototype.toString.call(fn);
}

/** A node of the syntax tree, as the visitors here need it: ESTree with open fields. */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

/** How the text of a function becomes an expression: as it is, or inside an object literal. */
export type Wrap = "expression" | "method" | "getter" | "setter";

/** The text of one function or class, parsed. Offsets in the tree minus `offset` are offsets in `text`. */
export interface Fragment {
  readonly text: string;
  readonly wrap: Wrap;
  /** The function or class node itself. */
  readonly root: SyntaxNode;
  /** The key of a method, getter or setter. */
  readonly key: SyntaxNode | undefined;
  readonly computedKey: boolean;
  readonly offset: number;
}

const lenient = {
  ecmaVersion: "latest",
  allowSuperOutsideMethod: true,
  allowReturnOutsideFunction: true,
  allowAwaitOutsideFunction: false,
  checkPrivateFields: false,
} as const;

export function isNode(value: unknown): value is SyntaxNode {
  return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}

export function nodes(value: unknown): readonly SyntaxNode[] {
  return Array.isArray(value) ? value.filter(isNode) : [];
}

/** Child node under a key, if there is one. */
export function child(node: SyntaxNode, key: string): SyntaxNode | undefined {
  const value = node[key];
  return isNode(value) ? value : undefined;
}

export function textOf(node: SyntaxNode | undefined, key: string): string {
  const value = node?.[key];
  return typeof value === "string" ? value : "";
}

/** The direct children of a node, in the order of the source. */
export function children(node: SyntaxNode): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  for (const key in node) {
    const value = node[key];
    if (isNode(value)) found.push(value);
    else if (Array.isArray(value)) found.push(...nodes(value));
  }
  return found;
}

const functionTypes = new Set(["FunctionExpression", "ArrowFunctionExpression", "FunctionDeclaration"]);

export function isFunctionNode(node: SyntaxNode): boolean {
  return functionTypes.has(node.type);
}

/** Acorn refuses `import.meta` in scripts but functions of modules contain it: such text is parsed as a module. */
function parseLoosely(source: string, preferModule: boolean): SyntaxNode {
  const first = preferModule ? "module" : "script";
  try {
    return parse(source, { ...lenient, sourceType: first }) as unknown as SyntaxNode;
  } catch (error) {
    if (preferModule) throw error;
    return parse(source, { ...lenient, sourceType: "module" }) as unknown as SyntaxNode;
  }
}

/** `(function () { return (TEXT) })`: in a function, so that `new.target` and `return` are grammatical wherever the text came from. */
const expressionPrefix = "(function(){return(";
/** For `class extends (await ...)`, whose base class is known by its value when it is made again. */
const asyncPrefix = "(async function(){return(";
const methodPrefix = "(function(){return({";

function asExpression(text: string, prefix = expressionPrefix): Fragment | undefined {
  let tree: SyntaxNode;
  try {
    tree = parseLoosely(`${prefix}${text}\n)})`, /\bimport\s*\.\s*meta\b/.test(text));
  } catch {
    return undefined;
  }
  const root = returned(tree);
  if (root === undefined || !(isFunctionNode(root) || root.type === "ClassExpression")) return undefined;
  if (root.start !== prefix.length || root.end !== prefix.length + text.length) return undefined;
  return { text, wrap: "expression", root, key: undefined, computedKey: false, offset: prefix.length };
}

function returned(tree: SyntaxNode): SyntaxNode | undefined {
  const statement = nodes(tree["body"])[0];
  const outer = statement && child(statement, "expression");
  const body = outer && child(outer, "body");
  const first = body && nodes(body["body"])[0];
  return first && child(first, "argument");
}

function asMethod(text: string): Fragment | undefined {
  let tree: SyntaxNode;
  try {
    tree = parseLoosely(`${methodPrefix}${text}\n})})`, /\bimport\s*\.\s*meta\b/.test(text));
  } catch {
    return undefined;
  }
  const object = returned(tree);
  const property = object && nodes(object["properties"])[0];
  const root = property && child(property, "value");
  if (root === undefined || property === undefined || !isFunctionNode(root)) return undefined;
  const kind = textOf(property, "kind");
  const wrap = kind === "get" ? "getter" : kind === "set" ? "setter" : "method";
  return { text, wrap, root, key: child(property, "key"), computedKey: property["computed"] === true, offset: methodPrefix.length };
}

const fragments = new Map<string, Fragment | Error>();
const remembered = 2000;

/** Parses what `Function.prototype.toString` gave. Undefined when it is not the text of one function or class. */
export function parseFunction(text: string): Fragment | undefined {
  const known = fragments.get(text);
  if (known !== undefined) return known instanceof Error ? undefined : known;
  const fragment = asExpression(text) ?? asMethod(text) ?? (text.startsWith("class") ? asExpression(text, asyncPrefix) : undefined);
  if (fragments.size >= remembered) fragments.clear();
  fragments.set(text, fragment ?? new Error("not a function"));
  return fragment;
}

/** Parses a whole script or module. Undefined when acorn does not know its syntax. */
export function parseScript(source: string, isModule: boolean): SyntaxNode | undefined {
  try {
    const options = { ...lenient, allowHashBang: true, allowAwaitOutsideFunction: true };
    return parse(source, { ...options, sourceType: isModule ? "module" : "script" }) as unknown as SyntaxNode;
  } catch {
    return undefined;
  }
}

/** Has the body a directive "use strict" of its own? */
export function hasStrictDirective(body: unknown): boolean {
  for (const statement of nodes(body)) {
    if (typeof statement["directive"] !== "string") return false;
    if (statement["directive"] === "use strict") return true;
  }
  return false;
}
