/**
 * What the value codec offers to the rest of the engine, and what it asks for. The implementation is `codec.ts`.
 */

/** A value as bytes: in band, and the buffers that travel beside it. */
export interface Encoded {
  readonly inband: Uint8Array;
  /** In the order in which the in-band part names them. Views on the caller's memory: copy before the turn ends. */
  readonly buffers: readonly Uint8Array[];
  /** ObjectRefs and ActorHandles inside the value, each once. */
  readonly refs: readonly object[];
  /** Modules that must have been imported before `decode`, as URLs or bare specifiers resolved to URLs. */
  readonly modules: readonly string[];
}

/** How ObjectRefs and ActorHandles are written and made again; given by the client, unknown to the codec. */
export interface RefCodec {
  /** The text that stands for a ref or handle, or undefined if `value` is neither. Cheap: called for every non-plain object. */
  describe(value: object): string | undefined;
  revive(text: string): object;
}

/** A function or class as data. `captures` are live values, encoded in the same graph, so cycles and identity hold. */
export type FunctionRecord =
  | { readonly kind: "reference"; readonly url: string; readonly path: readonly string[] }
  | {
      readonly kind: "value";
      /** Everything that is fixed by the source text: code, names of captures, location, kind. Equal text, equal meaning. */
      readonly code: string;
      readonly captures: readonly unknown[];
      /** Own enumerable properties and statics to lay over the rebuilt function: name and value pairs. */
      readonly properties: ReadonlyArray<readonly [PropertyKey, unknown]>;
      /** Modules that the code imports. */
      readonly modules: readonly string[];
      /** Names of the captures, for the paths in errors. */
      readonly captureNames?: readonly string[];
    };

/** How functions cross; given by `src/functions`. */
export interface FunctionCodec {
  /** Throws SerializationError, with `path` to the function in front, when it cannot be captured. */
  capture(fn: Function, path: string): FunctionRecord;
  /** Whether the body of this class itself (not a base class) declares `#private` members. Absent: none does. */
  hasPrivateFields?(cls: Function): boolean;
  /** URL of the module whose namespace (or, for a built-in one, whose exports object) this is, or undefined. */
  describeModule?(object: object): string | undefined;
  /** The function or class that a reference names. Throws when the module does not have it. Absent: the codec follows the path. */
  resolve?(record: { readonly url: string; readonly path: readonly string[] }, moduleOf: (url: string) => object): Function;
  /** Makes a function again, in steps so that cycles can be closed. Its modules have been imported before. */
  rebuild(record: { kind: "value"; code: string }, moduleOf: (url: string) => object): RebuiltFunction;
}

/** A function that is being made again. The steps are taken in order, for all functions of a graph together. */
export interface RebuiltFunction {
  /** 1. Exists at once, with its identity and its `prototype`; not to be called yet. */
  readonly fn: Function;
  /** 2. Gives it its captures and properties. They may be functions that are not filled yet themselves. Repeatable. */
  fill(captures: readonly unknown[], properties: ReadonlyArray<readonly [PropertyKey, unknown]>): void;
  /** 3. Once the graph is filled: runs static initialisers and lays the properties over. Repeatable; may come early. */
  start(): void;
}
