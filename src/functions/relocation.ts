/**
 * Files of the program's working directory have another place in a worker that has a copy of it. Functions and modules are told by their
 * place in the program on their way between processes; each process puts its own place for it.
 */
import { fileURLToPath, pathToFileURL } from "node:url";

interface Place {
  /** With a `/` at its end. */
  readonly url: string;
  readonly path: string;
}

let moved: { readonly origin: Place; readonly here: Place } | undefined;

/** This process has a copy of the folder at the address `origin` in the folder `here`. */
export function relocate(origin: string, here: string): void {
  const url = `${pathToFileURL(here).href.replace(/\/$/, "")}/`;
  moved = { origin: { url: origin, path: fileURLToPath(origin) }, here: { url, path: fileURLToPath(url) } };
}

/** A file's path or address, as it is in this process. Others stay. */
export function hereOf(place: string): string {
  return moved === undefined ? place : swapped(place, moved.origin, moved.here);
}

/** A file's path or address, as the program knows it. Others stay. */
export function originOf(place: string): string {
  return moved === undefined ? place : swapped(place, moved.here, moved.origin);
}

function swapped(place: string, from: Place, to: Place): string {
  if (place.startsWith(from.url)) return to.url + place.slice(from.url.length);
  return place.startsWith(from.path) ? to.path + place.slice(from.path.length) : place;
}

/** As `originOf`, for a module key (modules.ts). */
export const originOfKey = (key: string): string => (moved === undefined ? key : inKey(key, originOf));

/** As `hereOf`, for a module key. */
export const hereOfKey = (key: string): string => (moved === undefined ? key : inKey(key, hereOf));

function inKey(key: string, change: (place: string) => string): string {
  const [, required = "", specifier = key, parent, attributes = ""] = moduleKey.exec(key) ?? [];
  return `${required}${change(specifier)}${parent === undefined ? "" : ` from ${change(parent)}`}${attributes}`;
}

/** The parts of a module key: how, what, from where, with which attributes. */
export const moduleKey = /^(require |exports )?(.*?)(?: from (\S+))?( with \{.*\})?$/s;
