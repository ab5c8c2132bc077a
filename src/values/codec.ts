/**
 * The value codec: any value that may cross a process to bytes and back. This file only hands out encoders and decoders; the
 * format is in format.ts, the image of a value in one piece in packed.ts.
 */
import type { Encoded, FunctionCodec, RefCodec } from "./contract.ts";
import type { ModuleOf } from "./decoder.ts";
import { Decoder } from "./decoder.ts";
import { Encoder } from "./encoder.ts";
import { IdentityRegistry } from "./identity.ts";

export { deserialize, serialize } from "./hooks.ts";
export { IdentityRegistry } from "./identity.ts";
export { openPacked, packInline, packedSize, writePacked } from "./packed.ts";

export class ValueCodec {
  // A getter or a hook may make a call of its own while a value is written: that one takes another encoder.
  readonly #idleEncoders: Encoder[] = [];
  readonly #idleDecoders: Decoder[] = [];
  readonly #makeEncoder: () => Encoder;
  readonly #makeDecoder: () => Decoder;

  /** A process has one registry, however many codecs: it decides what `instanceof` means for values that come back. */
  constructor(refs: RefCodec, functions: FunctionCodec, registry: IdentityRegistry = new IdentityRegistry()) {
    this.#makeEncoder = () => new Encoder(refs, functions, registry);
    this.#makeDecoder = () => new Decoder(refs, functions, registry);
  }

  /**
   * Takes the value as it is now, except that `buffers` still are the caller's memory. `path` names the root in errors.
   * Throws SerializationError with the path to what cannot cross.
   */
  encode(value: unknown, path: string): Encoded {
    const encoder = this.#idleEncoders.pop() ?? this.#makeEncoder();
    try {
      return encoder.run(value, path);
    } finally {
      this.#idleEncoders.push(encoder);
    }
  }

  /**
   * `buffer(i)` gives the buffers that traveled beside it; typed arrays lie in that memory, uncopied where it is aligned to 8 bytes.
   * The modules that `Encoded.modules` names must have been imported: `moduleOf` gives their namespaces.
   */
  decode(inband: Uint8Array, buffer: (index: number) => Uint8Array, moduleOf?: ModuleOf): unknown {
    const decoder = this.#idleDecoders.pop() ?? this.#makeDecoder();
    try {
      return decoder.run(inband, buffer, moduleOf);
    } finally {
      this.#idleDecoders.push(decoder);
    }
  }
}
