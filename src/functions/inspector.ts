/**
 * What V8 knows about a function and JavaScript does not show: where it was defined, the variables it closes over, what a
 * bound function is bound to. Speaks to the inspector of the own thread, without a port and without a flag.
 * Not here: what the variables mean (resolve.ts).
 *
 * Costs: opening the session and looking at a function need no debugger (about 3 ms once). The address of a script comes from
 * best-effort coverage (about 4 ms a call), its source from the debugger domain, which costs 20 to 30 ms each time because V8 then
 * describes every script: so sources are asked for only when they are needed, and not where the file has them (declarations.ts).
 */
import type { Session } from "node:inspector";

/** One level of the variables that a function closes over, innermost first. */
export interface ClosureScope {
  /** V8's word: `Closure`, `Block`, `Module`, `Script`, `Catch`, ... */
  readonly kind: string;
  /** The variables by name. Reading one may throw (dead zone). */
  readonly variables: object;
}

export interface FunctionFacts {
  readonly fn: Function;
  readonly scriptId: string;
  /** Zero-based. */
  readonly line: number;
  readonly column: number;
  /** Innermost first, without the global scope. */
  readonly scopes: readonly ClosureScope[];
  /** True when the function lies in an ES module, which is known without its source. */
  readonly inModule: boolean;
}

export interface BoundFacts {
  readonly target: Function;
  readonly self: unknown;
  readonly args: readonly unknown[];
}

interface RemoteObject {
  readonly objectId?: string;
  readonly value?: unknown;
  readonly unserializableValue?: string;
  readonly description?: string;
}

interface InternalProperty {
  readonly name: string;
  readonly value?: RemoteObject;
}

interface Bridge {
  fn: unknown;
  value: unknown;
}

const group = "mobula";
const doorName = "__mobulaInspector";

/** The inspector of this thread, opened at first use. Undefined where it is not to be had (permission model, other runtimes). */
export function openInspector(): ThreadInspector | undefined {
  if (opened === undefined) {
    try {
      opened = new ThreadInspector();
    } catch {
      opened = "unavailable";
    }
  }
  return opened === "unavailable" ? undefined : opened;
}

let opened: ThreadInspector | "unavailable" | undefined;

export class ThreadInspector {
  readonly #session: Session;
  /** An object that both sides know, to pass values over without leaving anything on globalThis. */
  readonly #bridge: Bridge = { fn: undefined, value: undefined };
  readonly #bridgeId: string;
  readonly #urls = new Map<string, string>();
  readonly #sources = new Map<string, string>();

  constructor() {
    const { Session: Inspector } = process.getBuiltinModule("node:inspector");
    this.#session = new Inspector();
    this.#session.connect();
    this.#session.on("Debugger.scriptParsed", ({ params }) => this.#urls.set(params.scriptId, params.url));
    Object.defineProperty(globalThis, doorName, { value: this.#bridge, configurable: true, enumerable: false });
    try {
      const { result } = this.#post<{ result: RemoteObject }>("Runtime.evaluate", { expression: doorName });
      if (result.objectId === undefined) throw new Error("the inspector does not see this context");
      this.#bridgeId = result.objectId;
    } finally {
      Reflect.deleteProperty(globalThis, doorName);
    }
  }

  #post<T>(method: string, params: object = {}): T {
    let outcome: { error: Error | null; result: unknown } | undefined;
    this.#session.post(method, params, (error: Error | null, result: unknown) => {
      outcome = { error, result };
    });
    if (outcome === undefined) throw new Error(`the inspector did not answer ${method}`);
    if (outcome.error !== null) throw new Error(`${method}: ${JSON.stringify(outcome.error)}`);
    return outcome.result as T;
  }

  #internalProperties(fn: Function): InternalProperty[] {
    this.#bridge.fn = fn;
    const declaration = "function () { return this.fn; }";
    const remote = this.#post<{ result: RemoteObject }>("Runtime.callFunctionOn", {
      objectId: this.#bridgeId,
      functionDeclaration: declaration,
      objectGroup: group,
    });
    this.#bridge.fn = undefined;
    const properties = { objectId: remote.result.objectId, ownProperties: true };
    return this.#post<{ internalProperties?: InternalProperty[] }>("Runtime.getProperties", properties).internalProperties ?? [];
  }

  /** The live value behind what the inspector describes. */
  #live(remote: RemoteObject | undefined): unknown {
    if (remote === undefined) return undefined;
    const { objectId, value, unserializableValue } = remote;
    const argument = objectId === undefined ? (unserializableValue === undefined ? { value } : { unserializableValue }) : { objectId };
    this.#post("Runtime.callFunctionOn", {
      objectId: this.#bridgeId,
      functionDeclaration: "function (value) { this.value = value; }",
      arguments: [argument],
      objectGroup: group,
    });
    const live = this.#bridge.value;
    this.#bridge.value = undefined;
    return live;
  }

  /** Undefined for functions without a script: native and bound ones. */
  look(fn: Function): FunctionFacts | undefined {
    try {
      const found = new Map(this.#internalProperties(fn).map((property) => [property.name, property.value]));
      const location = found.get("[[FunctionLocation]]")?.value as
        | { scriptId: string; lineNumber: number; columnNumber: number }
        | undefined;
      if (location === undefined) return undefined;
      const scopes: ClosureScope[] = [];
      let inModule = false;
      // An array-like of V8's own: not iterable on every version.
      for (const scope of Array.from((this.#live(found.get("[[Scopes]]")) ?? []) as ArrayLike<{ description: string; object: object }>)) {
        const kind = scope.description.split(" ")[0] ?? "";
        if (kind === "Module") inModule = true;
        if (kind !== "Global") scopes.push({ kind, variables: scope.object });
      }
      return { fn, scriptId: location.scriptId, line: location.lineNumber, column: location.columnNumber, scopes, inModule };
    } finally {
      this.#post("Runtime.releaseObjectGroup", { objectGroup: group });
    }
  }

  /** Undefined for what is not a bound function. */
  bound(fn: Function): BoundFacts | undefined {
    try {
      const found = new Map(this.#internalProperties(fn).map((property) => [property.name, property.value]));
      if (!found.has("[[TargetFunction]]")) return undefined;
      return {
        target: this.#live(found.get("[[TargetFunction]]")) as Function,
        self: this.#live(found.get("[[BoundThis]]")),
        args: Array.from(this.#live(found.get("[[BoundArgs]]")) as ArrayLike<unknown>),
      };
    } finally {
      this.#post("Runtime.releaseObjectGroup", { objectGroup: group });
    }
  }

  /** Address of a script; empty for code that was never in a file. */
  url(scriptId: string): string {
    const known = this.#urls.get(scriptId);
    if (known !== undefined) return known;
    const { result } = this.#post<{ result: { scriptId: string; url: string }[] }>("Profiler.getBestEffortCoverage");
    for (const script of result) this.#urls.set(script.scriptId, script.url);
    if (!this.#urls.has(scriptId)) {
      this.#post("Debugger.enable");
      this.#post("Debugger.disable");
    }
    return this.#urls.get(scriptId) ?? "";
  }

  /** The source as V8 compiled it, after any loader. */
  source(scriptId: string): string {
    const known = this.#sources.get(scriptId);
    if (known !== undefined) return known;
    // Left enabled, the debugger would keep every script alive and slow compilation down.
    this.#post("Debugger.enable");
    try {
      const { scriptSource } = this.#post<{ scriptSource: string }>("Debugger.getScriptSource", { scriptId });
      this.#sources.set(scriptId, scriptSource);
      return scriptSource;
    } finally {
      this.#post("Debugger.disable");
    }
  }
}
