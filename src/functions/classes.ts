/**
 * The text of a class, made so that the class can be defined before its captures are there: the base class becomes a placeholder,
 * static initialisers wait, computed names become literals. Lines stay where they were.
 */
import { baseName, deferName, portableSymbol } from "./record.ts";
import { child, children, isFunctionNode, nodes, textOf } from "./syntax.ts";
import type { Fragment, SyntaxNode } from "./syntax.ts";

export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

export function applyEdits(text: string, edits: readonly Edit[]): string {
  let result = text;
  for (const { start, end, text: replacement } of edits.toSorted((a, b) => b.start - a.start || b.end - a.end)) {
    result = result.slice(0, start) + replacement + result.slice(end);
  }
  return result;
}

export function classMembers(fragment: Fragment): readonly SyntaxNode[] {
  return nodes(child(fragment.root, "body")?.["body"]);
}

export function isStatic(member: SyntaxNode): boolean {
  return member["static"] === true || member.type === "StaticBlock";
}

/** Has the class private members that its instances carry? Static ones belong to the class alone. */
export function hasPrivateInstanceMembers(fragment: Fragment): boolean {
  return classMembers(fragment).some((member) => !isStatic(member) && child(member, "key")?.type === "PrivateIdentifier");
}

/** Does defining the class run code of its own? */
export function hasStaticCode(fragment: Fragment): boolean {
  return classMembers(fragment).some(
    (member) => member.type === "StaticBlock" || (isStaticField(member) && child(member, "value") !== undefined),
  );
}

function isStaticField(member: SyntaxNode): boolean {
  return member.type === "PropertyDefinition" && isStatic(member);
}

/** The heritage expression becomes a name; `fill` sets the prototypes, which is all that a base class is. */
export function baseEdit(fragment: Fragment, name = baseName): Edit[] {
  const heritage = child(fragment.root, "superClass");
  return heritage === undefined
    ? []
    : [{ start: heritage.start - fragment.offset, end: heritage.end - fragment.offset, text: ` ${name} ` }];
}

/** `class extends (await import("x")).Base`: where the class is made again nothing can be awaited. */
export function awaitsBase(fragment: Fragment): boolean {
  const has = (node: SyntaxNode): boolean => node.type === "AwaitExpression" || children(node).some(has);
  const heritage = child(fragment.root, "superClass");
  return heritage !== undefined && has(heritage);
}

/**
 * Static fields and blocks are handed over as functions, in their order, instead of running when the class is defined. `keys`: what
 * `keyEdits` made of computed names.
 */
export function deferEdits(fragment: Fragment, keys: readonly Edit[]): Edit[] {
  const edits: Edit[] = [];
  const insert = (at: number, text: string): void => {
    edits.push({ start: at - fragment.offset, end: at - fragment.offset, text });
  };
  for (const member of classMembers(fragment)) {
    if (member.type === "StaticBlock") {
      const body = nodes(member["body"]);
      const [first, last] = [body[0], body.at(-1)];
      if (first === undefined || last === undefined) continue;
      insert(first.start, `${deferName}(() => {`);
      insert(last.end, "})");
    } else if (isStaticField(member)) {
      const value = child(member, "value");
      const key = child(member, "key");
      if (value === undefined || key === undefined) continue;
      const [before, after] = assignment(fragment, member, key, value, keys);
      insert(value.start, before);
      insert(value.end, after);
    }
  }
  return edits;
}

function assignment(fragment: Fragment, member: SyntaxNode, key: SyntaxNode, value: SyntaxNode, keys: readonly Edit[]): [string, string] {
  const start = key.start - fragment.offset;
  const keyText = keys.find((edit) => edit.start === start)?.text ?? fragment.text.slice(start, key.end - fragment.offset);
  if (key.type === "PrivateIdentifier") return [`(${deferName}(() => {this.${keyText} = (`, ")}), undefined)"];
  if (member["computed"] === true) return [`(${deferName}(() => {this[${keyText}] = (`, ")}), undefined)"];
  const name = key.type === "Identifier" ? JSON.stringify(textOf(key, "name")) : keyText;
  // A function without a name takes that of the field, which only a literal gives it.
  if (isUnnamed(value)) return [`(${deferName}(() => {this[${name}] = ({[${name}]: `, `})[${name}]}), undefined)`];
  return [`(${deferName}(() => {this[${name}] = (`, ")}), undefined)"];
}

function isUnnamed(value: SyntaxNode): boolean {
  return (isFunctionNode(value) || value.type === "ClassExpression") && child(value, "id") === undefined;
}

/**
 * Computed names that the text cannot compute by itself, as literals. `ownValue` gives the value of a name that has one here; `foreign`
 * says whether a name means something that only this process has. Undefined when a key cannot be told without running code.
 */
export function keyEdits(
  fragment: Fragment,
  cls: Function,
  foreign: (name: string) => boolean,
  ownValue: (name: string) => { value: unknown } | undefined,
): Edit[] | undefined {
  const edits: Edit[] = [];
  for (const member of classMembers(fragment)) {
    const key = child(member, "key");
    if (member["computed"] !== true || key === undefined || !uses(key, foreign)) continue;
    const value = methodKey(fragment, cls, member) ?? evaluate(key, ownValue);
    const text = value === undefined ? undefined : literal(value.value);
    if (text === undefined) return undefined;
    edits.push({ start: key.start - fragment.offset, end: key.end - fragment.offset, text });
  }
  return edits;
}

/** The key under which the class has the method of this text. */
function methodKey(fragment: Fragment, cls: Function, member: SyntaxNode): { value: unknown } | undefined {
  if (member.type !== "MethodDefinition") return undefined;
  const text = fragment.text
    .slice(member.start - fragment.offset, member.end - fragment.offset)
    .replace(isStatic(member) ? /^static\s*/ : /^/, "");
  const holder = isStatic(member) ? cls : (cls.prototype as object);
  for (const key of Reflect.ownKeys(holder)) {
    const property = Object.getOwnPropertyDescriptor(holder, key);
    for (const one of [property?.value, property?.get, property?.set] as unknown[]) {
      if (typeof one === "function" && Function.prototype.toString.call(one) === text) return { value: key };
    }
  }
  return undefined;
}

function uses(node: SyntaxNode, foreign: (name: string) => boolean): boolean {
  if (node.type === "Identifier") return foreign(textOf(node, "name"));
  return children(node).some((one) => uses(one, foreign));
}

function evaluate(node: SyntaxNode, valueOf: (name: string) => { value: unknown } | undefined): { value: unknown } | undefined {
  if (node.type === "Identifier") return valueOf(textOf(node, "name"));
  const object = node.type === "MemberExpression" ? child(node, "object") : undefined;
  const holder = object === undefined ? undefined : evaluate(object, valueOf);
  const property = child(node, "property");
  if (holder === undefined || property === undefined || holder.value === null || typeof holder.value !== "object") return undefined;
  const name: unknown = node["computed"] === true ? property["value"] : textOf(property, "name");
  return typeof name === "string" ? { value: Reflect.get(holder.value, name) as unknown } : undefined;
}

function literal(value: unknown): string | undefined {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") return String(value);
  return typeof value === "symbol" ? portableSymbol(value) : undefined;
}
