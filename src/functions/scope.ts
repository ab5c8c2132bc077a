/**
 * Which names in the text of a function are free, where they are used, and what else ties it to its surroundings:
 * lexical `this`, `super`, `new.target`, `arguments`, private names, direct `eval`, `import.meta`.
 * Not here: what the free names stand for (resolve.ts).
 */
import { child, children, isFunctionNode, isNode, nodes, textOf } from "./syntax.ts";
import type { Fragment, SyntaxNode } from "./syntax.ts";

/** Parts of a class that are evaluated when it is defined, not when it is used. */
export type Region = "body" | "heritage" | "key";

export interface FreeName {
  readonly name: string;
  readonly regions: Set<Region>;
  /** Every use is `__name(something, "text")`, the call that esbuild adds to keep names. */
  onlyNameCalls: boolean;
  /** Members read from it as `x.member`; undefined when it is used in any other way too. */
  members: Set<string> | undefined;
  /** Only ever `typeof name`. */
  onlyTypeof: boolean;
}

export interface Analysis {
  readonly free: ReadonlyMap<string, FreeName>;
  /** What refers to the surroundings and has no name that could be captured, in the words of a message. */
  readonly lexical: ReadonlySet<"this" | "super" | "new.target" | "arguments">;
  readonly outerPrivateNames: ReadonlySet<string>;
  readonly directEval: boolean;
  /** Where each `import.meta` stands in the text. */
  readonly importMeta: readonly (readonly [start: number, end: number])[];
}

interface Scope {
  readonly names: Set<string>;
  readonly parent: Scope | undefined;
}

/** What the position inherits from around it. `outer*`: the keyword would mean that of the surroundings of the whole text. */
interface Position {
  readonly scope: Scope | undefined;
  readonly privateNames: readonly Set<string>[];
  readonly outerThis: boolean;
  readonly outerArguments: boolean;
  readonly outerSuper: boolean;
  readonly outerNewTarget: boolean;
  readonly region: Region;
}

const constants = new Set(["undefined", "NaN", "Infinity"]);

export function analyse(fragment: Fragment, strict: boolean): Analysis {
  return new Analyser(fragment, strict).run();
}

class Analyser {
  readonly #fragment: Fragment;
  readonly #strict: boolean;
  readonly #free = new Map<string, FreeName>();
  readonly #lexical = new Set<"this" | "super" | "new.target" | "arguments">();
  readonly #outerPrivateNames = new Set<string>();
  readonly #importMeta: [number, number][] = [];
  #directEval = false;

  constructor(fragment: Fragment, strict: boolean) {
    this.#fragment = fragment;
    this.#strict = strict;
  }

  run(): Analysis {
    const { root, wrap, key } = this.#fragment;
    const at: Position = {
      scope: undefined,
      privateNames: [],
      region: "body",
      outerThis: true,
      outerArguments: true,
      outerSuper: true,
      outerNewTarget: true,
    };
    if (key !== undefined && key.type === "PrivateIdentifier") this.#outerPrivateNames.add(textOf(key, "name"));
    // A computed key is not visited: it is not evaluated again, the name of the function is known.
    if (wrap === "expression") this.#visit(root, at);
    else this.#function(root, at, true);
    return {
      free: this.#free,
      lexical: this.#lexical,
      outerPrivateNames: this.#outerPrivateNames,
      directEval: this.#directEval,
      importMeta: this.#importMeta,
    };
  }

  #visitAll(list: Iterable<SyntaxNode>, at: Position): void {
    for (const node of list) this.#visit(node, at);
  }

  #visit(node: SyntaxNode | undefined, at: Position): void {
    if (node === undefined) return;
    const visitor = this.#visitors[node.type];
    if (visitor !== undefined) visitor(node, at);
    else if (isFunctionNode(node)) this.#function(node, at, false);
    else this.#visitAll(children(node), at);
  }

  readonly #visitors: Readonly<Record<string, ((node: SyntaxNode, at: Position) => void) | undefined>> = {
    Identifier: (node, at) => this.#reference(textOf(node, "name"), at, "other"),
    PrivateIdentifier: (node, at) => this.#privateName(textOf(node, "name"), at),
    ThisExpression: (_node, at) => {
      if (at.outerThis) this.#lexical.add("this");
    },
    Super: (_node, at) => {
      if (at.outerSuper) this.#lexical.add("super");
    },
    MetaProperty: (node, at) => this.#metaProperty(node, at),
    MemberExpression: (node, at) => this.#member(node, at),
    CallExpression: (node, at) => this.#call(node, at),
    UnaryExpression: (node, at) => this.#unary(node, at),
    Property: (node, at) => {
      if (node["computed"] === true) this.#visit(child(node, "key"), at);
      const value = child(node, "value");
      if (value !== undefined && (node["method"] === true || node["kind"] !== "init") && isFunctionNode(value)) {
        this.#function(value, { ...at, outerSuper: false }, true);
      } else this.#visit(value, at);
    },
    LabeledStatement: (node, at) => this.#visit(child(node, "body"), at),
    BreakStatement: () => {},
    ContinueStatement: () => {},
    ClassExpression: (node, at) => this.#class(node, at),
    ClassDeclaration: (node, at) => this.#class(node, at),
    BlockStatement: (node, at) => this.#block(nodes(node["body"]), at),
    SwitchStatement: (node, at) => {
      this.#visit(child(node, "discriminant"), at);
      const cases = nodes(node["cases"]);
      const inner = this.#scoped(at, this.#lexicalNames(cases.flatMap((one) => nodes(one["consequent"]))));
      this.#visitAll(cases, inner);
    },
    CatchClause: (node, at) => {
      const param = child(node, "param");
      const inner = this.#scoped(at, param === undefined ? [] : patternNames(param));
      this.#visit(param, inner);
      this.#visit(child(node, "body"), inner);
    },
    ForStatement: (node, at) => this.#loop(node, "init", at),
    ForInStatement: (node, at) => this.#loop(node, "left", at),
    ForOfStatement: (node, at) => this.#loop(node, "left", at),
  };

  #scoped(at: Position, names: Iterable<string>): Position {
    return { ...at, scope: { names: new Set(names), parent: at.scope } };
  }

  #block(body: readonly SyntaxNode[], at: Position): void {
    this.#visitAll(body, this.#scoped(at, this.#lexicalNames(body)));
  }

  #loop(node: SyntaxNode, head: string, at: Position): void {
    const declaration = child(node, head);
    const declares = declaration?.type === "VariableDeclaration" && declaration["kind"] !== "var";
    this.#visitAll(children(node), declares ? this.#scoped(at, declarationNames(declaration)) : at);
  }

  #lexicalNames(body: readonly SyntaxNode[]): string[] {
    const names: string[] = [];
    for (const statement of body) {
      if (statement.type === "VariableDeclaration" && statement["kind"] !== "var") names.push(...declarationNames(statement));
      if (statement.type === "ClassDeclaration" || statement.type === "FunctionDeclaration")
        names.push(textOf(child(statement, "id"), "name"));
    }
    return names;
  }

  #function(node: SyntaxNode, at: Position, method: boolean): void {
    const arrow = node.type === "ArrowFunctionExpression";
    const names = new Set<string>();
    const id = child(node, "id");
    if (id !== undefined) names.add(textOf(id, "name"));
    for (const param of nodes(node["params"])) for (const name of patternNames(param)) names.add(name);
    const body = child(node, "body");
    if (body?.type === "BlockStatement") {
      for (const name of varNames(body, !this.#strict)) names.add(name);
      for (const name of this.#lexicalNames(nodes(body["body"]))) names.add(name);
    }
    let inner = this.#scoped(at, names);
    if (!arrow) inner = { ...inner, outerThis: false, outerArguments: false, outerNewTarget: false, outerSuper: at.outerSuper && method };
    this.#visitAll(nodes(node["params"]), inner);
    if (body?.type === "BlockStatement") this.#visitAll(nodes(body["body"]), inner);
    else this.#visit(body, inner);
  }

  #class(node: SyntaxNode, at: Position): void {
    const isRoot = node === this.#fragment.root;
    const id = child(node, "id");
    const scoped = this.#scoped(at, id === undefined ? [] : [textOf(id, "name")]);
    const members = nodes(child(node, "body")?.["body"]);
    const own = new Set<string>();
    for (const member of members) {
      const key = child(member, "key");
      if (key?.type === "PrivateIdentifier") own.add(textOf(key, "name"));
    }
    const outer: Position = { ...scoped, privateNames: [...at.privateNames, own] };
    this.#visit(child(node, "superClass"), isRoot ? { ...outer, region: "heritage" } : outer);
    const inside: Position = { ...outer, outerThis: false, outerArguments: false, outerSuper: false, outerNewTarget: false };
    for (const member of members) {
      if (member["computed"] === true) this.#visit(child(member, "key"), isRoot ? { ...outer, region: "key" } : outer);
      const value = child(member, "value");
      if (member.type === "StaticBlock") {
        const body = nodes(member["body"]);
        this.#visitAll(body, this.#scoped(inside, [...varNames(member, false), ...this.#lexicalNames(body)]));
      } else if (value !== undefined && member.type === "MethodDefinition") this.#function(value, inside, true);
      else this.#visit(value, inside);
    }
  }

  #privateName(name: string, at: Position): void {
    if (!at.privateNames.some((names) => names.has(name))) this.#outerPrivateNames.add(name);
  }

  #metaProperty(node: SyntaxNode, at: Position): void {
    const { offset } = this.#fragment;
    if (textOf(child(node, "meta"), "name") === "import") this.#importMeta.push([node.start - offset, node.end - offset]);
    else if (at.outerNewTarget) this.#lexical.add("new.target");
  }

  #member(node: SyntaxNode, at: Position): void {
    const object = child(node, "object");
    const property = child(node, "property");
    const computed = node["computed"] === true;
    if (object?.type === "Identifier" && !computed && property?.type === "Identifier") {
      this.#reference(textOf(object, "name"), at, { member: textOf(property, "name") });
    } else this.#visit(object, at);
    if (computed || property?.type === "PrivateIdentifier") this.#visit(property, at);
  }

  #call(node: SyntaxNode, at: Position): void {
    const callee = child(node, "callee");
    const args = nodes(node["arguments"]);
    if (callee?.type === "Identifier") {
      const name = textOf(callee, "name");
      if (name === "eval" && !declared(name, at.scope)) this.#directEval = true;
      const naming = args.length === 2 && typeof args[1]?.["value"] === "string";
      this.#reference(name, at, naming ? "name-call" : "other");
    } else this.#visit(callee, at);
    this.#visitAll(args, at);
  }

  #unary(node: SyntaxNode, at: Position): void {
    const argument = child(node, "argument");
    if (node["operator"] === "typeof" && argument?.type === "Identifier") this.#reference(textOf(argument, "name"), at, "typeof");
    else this.#visit(argument, at);
  }

  #reference(name: string, at: Position, use: "other" | "name-call" | "typeof" | { member: string }): void {
    if (declared(name, at.scope)) return;
    if (name === "arguments") {
      if (at.outerArguments) this.#lexical.add("arguments");
      return;
    }
    if (constants.has(name)) return;
    let free = this.#free.get(name);
    if (free === undefined) {
      free = { name, regions: new Set(), onlyNameCalls: true, members: new Set(), onlyTypeof: true };
      this.#free.set(name, free);
    }
    free.regions.add(at.region);
    if (use !== "name-call") free.onlyNameCalls = false;
    if (use !== "typeof") free.onlyTypeof = false;
    if (typeof use === "object") free.members?.add(use.member);
    else free.members = undefined;
  }
}

function declared(name: string, scope: Scope | undefined): boolean {
  for (let at = scope; at !== undefined; at = at.parent) if (at.names.has(name)) return true;
  return false;
}

function declarationNames(declaration: SyntaxNode): string[] {
  return nodes(declaration["declarations"]).flatMap((one) => {
    const id = child(one, "id");
    return id === undefined ? [] : patternNames(id);
  });
}

/** The names that a binding pattern declares. */
export function patternNames(pattern: SyntaxNode): string[] {
  switch (pattern.type) {
    case "Identifier":
      return [textOf(pattern, "name")];
    case "AssignmentPattern":
      return namesUnder(pattern, "left");
    case "RestElement":
      return namesUnder(pattern, "argument");
    case "ArrayPattern":
      return nodes(pattern["elements"]).flatMap(patternNames);
    case "ObjectPattern":
      return nodes(pattern["properties"]).flatMap((one) => (one.type === "RestElement" ? patternNames(one) : namesUnder(one, "value")));
    default:
      return [];
  }
}

function namesUnder(node: SyntaxNode, key: string): string[] {
  const inner = child(node, key);
  return inner === undefined ? [] : patternNames(inner);
}

/** Names that `var` hoists out of the statements of a function body, and in sloppy code functions in blocks too. */
export function varNames(body: SyntaxNode, sloppy: boolean): string[] {
  const names: string[] = [];
  const visit = (node: SyntaxNode, nested: boolean): void => {
    if (node.type === "VariableDeclaration" && node["kind"] === "var") names.push(...declarationNames(node));
    if (node.type === "FunctionDeclaration" && nested && sloppy) names.push(textOf(child(node, "id"), "name"));
    if (isFunctionNode(node) || node.type === "ClassDeclaration" || node.type === "ClassExpression") return;
    for (const key in node) {
      const value = node[key];
      for (const inner of Array.isArray(value) ? value : [value]) if (isNode(inner)) visit(inner, true);
    }
  };
  for (const statement of nodes(body["body"])) visit(statement, false);
  return names;
}

/** Can this initialiser give no undefined? */
export function isDefinite(init: SyntaxNode): boolean {
  if (isFunctionNode(init)) return true;
  const types = [
    "ClassExpression",
    "ObjectExpression",
    "ArrayExpression",
    "NewExpression",
    "TemplateLiteral",
    "Literal",
    "BinaryExpression",
  ];
  return types.includes(init.type);
}
