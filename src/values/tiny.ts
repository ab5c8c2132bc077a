/**
 * The images of the smallest values, written without an encoder and read without a decoder: a small integer, true, false, null,
 * undefined and an empty array, which are made once and shared, and short strings. Most arguments and results of tiny calls are one of
 * them. Not another format: the encoder writes the same bytes.
 */
import * as tag from "./format.ts";

/** What `readTiny` gives for an image that is not tiny. */
export const NOT_TINY: unique symbol = Symbol("not tiny");

/** Version, flags, tag. */
const LENGTH = 3;
/** Strings of fewer characters have their length in the tag. */
const TEXT_MAX = tag.FIXARRAY - tag.FIXSTR;
const images: Uint8Array[] = Array.from({ length: 256 }, (_, kind) => new Uint8Array([tag.VERSION, 0, kind]));

/** The image of a value that has a tiny one. Shared: not to be written to. */
export function tinyImage(value: unknown): Uint8Array | undefined {
  switch (typeof value) {
    case "number":
      if (value >= -16 && value < 0x80 && (value | 0) === value && (value !== 0 || 1 / value > 0)) return images[value & 0xff];
      return undefined;
    case "boolean":
      return images[value ? tag.TRUE : tag.FALSE];
    case "undefined":
      return images[tag.UNDEFINED];
    case "string":
      return value.length < TEXT_MAX ? textImage(value) : undefined;
    default:
      return value === null ? images[tag.NULL] : undefined;
  }
}

/** undefined if a character needs more than a byte. */
function textImage(text: string): Uint8Array | undefined {
  const image = new Uint8Array(LENGTH + text.length);
  image[0] = tag.VERSION;
  image[2] = tag.FIXSTR | text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff) return undefined;
    image[LENGTH + i] = code;
  }
  return image;
}

function readText(image: Uint8Array): string {
  let text = "";
  for (let i = LENGTH; i < image.length; i++) text += String.fromCharCode(image[i]!);
  return text;
}

export const EMPTY_ARRAY: Uint8Array = images[tag.FIXARRAY]!;

/** The value of a tiny image, or NOT_TINY. */
export function readTiny(image: Uint8Array): unknown {
  if (image.length < LENGTH || image.length >= LENGTH + TEXT_MAX || image[0] !== tag.VERSION || image[1] !== 0) return NOT_TINY;
  const kind = image[2]!;
  if (kind >= tag.FIXSTR && kind < tag.FIXARRAY) return image.length === LENGTH + (kind & 0x1f) ? readText(image) : NOT_TINY;
  if (image.length !== LENGTH) return NOT_TINY;
  if (kind < tag.FIXSTR) return kind;
  if (kind >= 0xf0) return kind - 0x100;
  switch (kind) {
    case tag.FIXARRAY:
      return [];
    case tag.UNDEFINED:
      return undefined;
    case tag.NULL:
      return null;
    case tag.FALSE:
      return false;
    case tag.TRUE:
      return true;
    default:
      return NOT_TINY;
  }
}
