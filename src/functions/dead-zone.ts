/**
 * Whether a variable that reads as undefined is in its dead zone. Before Node 22 V8 does not tell the two apart, so the source has to:
 * which declaration is meant, what its initialiser can give, and where the program stands, which is told by the calls that are under way.
 */
import { pathToFileURL } from "node:url";
import { isDefinite, patternNames, varNames } from "./scope.ts";
import { child, children, isFunctionNode, nodes, textOf } from "./syntax.ts";
import type { SyntaxNode } from "./syntax.ts";

/** From here on reading a variable in its dead zone throws, so one that reads as undefined is undefined. */
export const deadZonesShow = Number(process.versions.node.split(".")[0]) >= 22;

/** Where a call is under way, zero-based. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** The calls under way in a script, innermost first. Code after an `await` is under way without those who wait for it. */
export function callsIn(url: string): Position[] {
  const { prepareStackTrace, stackTraceLimit } = Error;
  let sites: NodeJS.CallSite[] = [];
  try {
    Error.stackTraceLimit = 200;
    Error.prepareStackTrace = (_error, list) => list;
    const { stack } = new Error("calls under way") as unknown as { stack: unknown };
    if (Array.isArray(stack)) sites = stack as NodeJS.CallSite[];
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
    Error.stackTraceLimit = stackTraceLimit;
  }
  return sites.flatMap((site) => {
    const name = site.getScriptNameOrSourceURL();
    if (typeof name !== "string" || (name.startsWith("/") ? pathToFileURL(name).href : name) !== url) return [];
    return [{ line: (site.getLineNumber() ?? 1) - 1, column: (site.getColumnNumber() ?? 1) - 1 }];
  });
}

interface Declared {
  /** The block, or the script, in which it is visible. */
  readonly scope: SyntaxNode;
  /** The class, or the declarator of a variable. */
  readonly node: SyntaxNode;
  readonly kind: string;
}

/** `fn`: where the function starts that reads `name`; `calls`: where the program stands. All are offsets in the source of `tree`. */
export function inDeadZone(tree: SyntaxNode, name: string, fn: number, calls: readonly number[]): boolean {
  const around = nodesAround(tree, fn);
  const declared = declarationOf(around, name);
  if (declared === undefined) return false;
  const { scope, node, kind } = declared;
  if (kind === "class") return true;
  const [target, init] = [child(node, "id"), child(node, "init")];
  const single = target?.type === "Identifier" && init !== undefined && isDefinite(init);
  if (single && (kind !== "let" || !isAssigned(tree, name))) return true;
  // What is made after the declaration finds it initialised; a function that is hoisted is there from the start.
  const outermost = around.slice(around.indexOf(scope) + 1).find(isFunctionNode);
  if (outermost !== undefined && outermost.type !== "FunctionDeclaration" && outermost.start >= node.end) return false;
  const owner = around.slice(0, around.indexOf(scope) + 1).findLast(isFunctionNode);
  for (const call of calls) {
    const at = nodesAround(tree, call);
    if (at.includes(scope) && at.findLast(isFunctionNode) === owner) return call < node.end;
  }
  return false;
}

/** The nodes that hold an offset, outermost first. */
function nodesAround(tree: SyntaxNode, offset: number): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  let node: SyntaxNode | undefined = tree;
  while (node !== undefined) {
    found.push(node);
    node = children(node).find((one) => one.start <= offset && offset < one.end);
  }
  return found;
}

/** The `let`, `const` or class that a name means there; undefined when it is something else, which has no dead zone. */
function declarationOf(around: readonly SyntaxNode[], name: string): Declared | undefined {
  for (const scope of around.toReversed()) {
    for (const statement of statementsOf(scope)) {
      const kind = statement.type === "VariableDeclaration" ? String(statement["kind"]) : "";
      if (kind !== "" && kind !== "var") {
        const node = nodes(statement["declarations"]).find((one) => namesOf(child(one, "id")).includes(name));
        if (node !== undefined) return { scope, node, kind };
      } else if (textOf(child(statement, "id"), "name") === name) {
        return statement.type === "ClassDeclaration" ? { scope, node: statement, kind: "class" } : undefined;
      }
    }
    if (hasOther(scope, name)) return undefined;
  }
  return undefined;
}

function statementsOf(scope: SyntaxNode): readonly SyntaxNode[] {
  if (scope.type === "SwitchStatement") return nodes(scope["cases"]).flatMap((one) => nodes(one["consequent"]));
  if (!["Program", "BlockStatement", "StaticBlock"].includes(scope.type)) return [];
  return nodes(scope["body"]).map((one) => (one.type.startsWith("Export") ? (child(one, "declaration") ?? one) : one));
}

/** Parameters, `var`, what a loop or a catch declares, and the names that functions and classes give themselves. */
function hasOther(scope: SyntaxNode, name: string): boolean {
  if (scope.type === "Program") return varNames(scope, true).includes(name);
  if (scope.type === "CatchClause") return namesOf(child(scope, "param")).includes(name);
  if (scope.type === "ClassExpression") return textOf(child(scope, "id"), "name") === name;
  if (scope.type.startsWith("For")) {
    const head = child(scope, "init") ?? child(scope, "left");
    return head?.type === "VariableDeclaration" && nodes(head["declarations"]).some((one) => namesOf(child(one, "id")).includes(name));
  }
  if (!isFunctionNode(scope)) return false;
  const body = child(scope, "body");
  return (
    textOf(child(scope, "id"), "name") === name ||
    nodes(scope["params"]).some((param) => patternNames(param).includes(name)) ||
    (body?.type === "BlockStatement" && varNames(body, true).includes(name))
  );
}

function namesOf(pattern: SyntaxNode | undefined): string[] {
  return pattern === undefined ? [] : patternNames(pattern);
}

/** Does the script assign to a variable of this name, whichever of several? */
function isAssigned(tree: SyntaxNode, name: string): boolean {
  const target = tree.type === "AssignmentExpression" ? child(tree, "left") : undefined;
  if (namesOf(target).includes(name)) return true;
  if (tree.type.startsWith("For") && namesOf(child(tree, "left")).includes(name)) return true;
  return children(tree).some((one) => isAssigned(one, name));
}
