/**
 * What a whole script or module declares at its top level: imports, exports, and where the code is strict. Made from the source that
 * V8 compiled, so after any loader.
 */
import { readFileSync, statSync } from "node:fs";
import { inDeadZone } from "./dead-zone.ts";
import type { Position } from "./dead-zone.ts";
import type { FunctionFacts, ThreadInspector } from "./inspector.ts";
import { pathOf } from "./modules.ts";
import { patternNames } from "./scope.ts";
import { child, children, hasStrictDirective, isFunctionNode, nodes, parseScript, textOf, textOfFunction } from "./syntax.ts";
import type { SyntaxNode } from "./syntax.ts";

export interface ImportDeclared {
  readonly specifier: string;
  /** `*` for the namespace. */
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>> | undefined;
}

export interface ExportDeclared {
  readonly name: string;
  /** The local variable behind it; undefined for an anonymous default export. */
  readonly local: string | undefined;
  /** Where the expression stands, for an anonymous default export. */
  readonly range: readonly [number, number] | undefined;
}

const scripts = new Map<string, ScriptDeclarations>();

/** The declarations of the script in which a function lies. */
export function declarationsOf(inspector: ThreadInspector, facts: FunctionFacts): ScriptDeclarations {
  let script = scripts.get(facts.scriptId);
  if (script === undefined) {
    script = ofFile(inspector, facts) ?? new ScriptDeclarations(inspector.source(facts.scriptId), facts.inModule);
    scripts.set(facts.scriptId, script);
  }
  return script;
}

/**
 * From the file, which is quicker than to ask V8: if it is JavaScript, and the function is in it where V8 says that it is. A loader that
 * made other code of the file does not pass that. A file that was written since this process began may be another than was loaded.
 */
function ofFile(inspector: ThreadInspector, facts: FunctionFacts): ScriptDeclarations | undefined {
  const path = pathOf(inspector.url(facts.scriptId));
  if (path === undefined || !/\.[cm]?js$/.test(path)) return undefined;
  let source: string;
  try {
    if (statSync(path).mtimeMs >= performance.timeOrigin) return undefined;
    source = readFileSync(path, "utf8").replace(/^\uFEFF/, "");
  } catch {
    return undefined;
  }
  const script = new ScriptDeclarations(source, facts.inModule);
  const at = script.offsetOf(facts.line, facts.column);
  const text = textOfFunction(facts.fn);
  const start = source.lastIndexOf(text, at);
  return script.known && start !== -1 && at < start + text.length ? script : undefined;
}

export class ScriptDeclarations {
  readonly imports = new Map<string, ImportDeclared>();
  readonly exports: ExportDeclared[] = [];
  /** False when the source uses syntax that the parser does not know. */
  readonly known: boolean;
  readonly #tree: SyntaxNode | undefined;
  readonly #lineStarts: readonly number[];
  readonly #isModule: boolean;

  constructor(source: string, isModule: boolean) {
    this.#isModule = isModule;
    this.#tree = parseScript(source, isModule);
    this.known = this.#tree !== undefined;
    const starts = [0];
    for (const match of source.matchAll(/\r\n|[\n\r\u2028\u2029]/g)) starts.push(match.index + match[0].length);
    this.#lineStarts = starts;
    for (const statement of nodes(this.#tree?.["body"])) this.#declare(statement);
  }

  offsetOf(line: number, column: number): number {
    return (this.#lineStarts[line] ?? 0) + column;
  }

  /** Is the code at an offset strict? */
  strictAt(offset: number): boolean {
    if (this.#isModule || this.#tree === undefined) return true;
    if (hasStrictDirective(this.#tree["body"])) return true;
    let node: SyntaxNode | undefined = this.#tree;
    while (node !== undefined) {
      node = children(node).find((one) => one.start <= offset && offset < one.end);
      if (node === undefined) return false;
      if (node.type === "ClassDeclaration" || node.type === "ClassExpression") return true;
      // What starts exactly here is the function itself: its own directive is in its text.
      if (isFunctionNode(node) && node.start < offset && hasStrictDirective(child(node, "body")?.["body"])) return true;
    }
    return false;
  }

  #declare(statement: SyntaxNode): void {
    switch (statement.type) {
      case "ImportDeclaration":
        this.#import(statement);
        break;
      case "ExportNamedDeclaration":
        this.#exportNamed(statement);
        break;
      case "ExportDefaultDeclaration":
        this.#exportDefault(statement);
        break;
    }
  }

  #import(statement: SyntaxNode): void {
    const specifier = String(child(statement, "source")?.["value"]);
    const given = nodes(statement["attributes"]).map((one) => [keyName(child(one, "key")), String(child(one, "value")?.["value"])]);
    const attributes = given.length === 0 ? undefined : (Object.fromEntries(given) as Record<string, string>);
    for (const one of nodes(statement["specifiers"])) {
      const local = textOf(child(one, "local"), "name");
      const name =
        one.type === "ImportNamespaceSpecifier" ? "*" : one.type === "ImportDefaultSpecifier" ? "default" : keyName(child(one, "imported"));
      this.imports.set(local, { specifier, name, attributes });
    }
  }

  #exportNamed(statement: SyntaxNode): void {
    const declaration = child(statement, "declaration");
    if (declaration !== undefined) {
      for (const name of declaredNames(declaration)) this.exports.push({ name, local: name, range: undefined });
    }
    if (child(statement, "source") !== undefined) return;
    for (const one of nodes(statement["specifiers"])) {
      this.exports.push({ name: keyName(child(one, "exported")), local: keyName(child(one, "local")), range: undefined });
    }
  }

  #exportDefault(statement: SyntaxNode): void {
    const declaration = child(statement, "declaration");
    if (declaration === undefined) return;
    const id = child(declaration, "id");
    const named = id !== undefined && declaration.type.endsWith("Declaration");
    const local = named ? textOf(id, "name") : declaration.type === "Identifier" ? textOf(declaration, "name") : undefined;
    this.exports.push({ name: "default", local, range: [declaration.start, declaration.end] });
  }

  /**
   * Is `name`, which a function at `place` reads as undefined, not initialised yet? `calls`: where the program stands.
   */
  inDeadZone(name: string, place: Position, calls: readonly Position[]): boolean {
    if (this.#tree === undefined) return false;
    const at = calls.map(({ line, column }) => this.offsetOf(line, column));
    return inDeadZone(this.#tree, name, this.offsetOf(place.line, place.column), at);
  }
}

function keyName(node: SyntaxNode | undefined): string {
  return node?.type === "Identifier" ? textOf(node, "name") : String(node?.["value"]);
}

function declaredNames(declaration: SyntaxNode): string[] {
  if (declaration.type !== "VariableDeclaration") {
    const id = child(declaration, "id");
    return id === undefined ? [] : [textOf(id, "name")];
  }
  return nodes(declaration["declarations"]).flatMap((one) => {
    const id = child(one, "id");
    return id === undefined ? [] : patternNames(id);
  });
}
