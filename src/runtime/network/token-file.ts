/**
 * Where tokens are kept: plain text in a file that only its user can read. What is found unreadable or open to others is an
 * error that says what to do; no other place is tried then.
 */
import { closeSync, fstatSync, linkSync, mkdirSync, openSync, readSync, rmSync, statSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { dirname, join, resolve } from "node:path";
import { InvalidOptionError, explain } from "../../errors/index.ts";
import { homeFolder } from "./home.ts";
import { Secret } from "./secret.ts";

const FILE_MAX = 4096;
const TOKEN_MAX = 1024;
const OTHERS = 0o077;
const OTHERS_WRITE = 0o022;
export const TOKEN_FILE = "token";

export interface FoundToken {
  readonly token: Secret;
  /** Where it was found: "MOBULA_TOKEN", or a path. */
  readonly from: string;
}

function wrong(what: string, why: string, todo: string, value: string, cause?: unknown): InvalidOptionError {
  return new InvalidOptionError(explain(`${what}: ${why}`, undefined, todo), { option: "token", value, cause });
}

/** Makes the folder (0700) if it is missing. One that others may write to is refused: they could replace what is in it. */
export function privateFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "EEXIST" || code === "ENOTDIR" ? "it, or a part of its path, is a file" : message;
    throw wrong(`The folder ${folder} cannot be made`, why, "Name another by --dir or MOBULA_HOME", folder, error);
  }
  const { mode, uid } = statSync(folder);
  const own = process.getuid?.();
  if (own !== undefined && uid !== own && own !== 0) {
    throw wrong(`The folder ${folder} belongs to another user`, "they could read or replace the token", "Name another by --dir", folder);
  }
  if ((mode & OTHERS_WRITE) !== 0) {
    throw wrong(`Others may write to the folder ${folder}`, "they could replace the token", `Run: chmod 700 ${folder}`, folder);
  }
}

/** The token of this folder, made now if there is none. When two processes do so at once, both get the same one. */
export function createToken(folder: string): FoundToken {
  privateFolder(folder);
  const path = join(folder, TOKEN_FILE);
  const mine = join(folder, `.${TOKEN_FILE}-${randomBytes(6).toString("hex")}`);
  writeFileSync(mine, `${Secret.random().expose()}\n`, { mode: 0o600, flag: "wx", flush: true });
  try {
    linkSync(mine, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(mine, { force: true });
  }
  return { token: readTokenFile(path), from: path };
}

/** Reads a token from a file that must be closed to others. */
export function readTokenFile(path: string): Secret {
  const text = readClosed(path);
  return checked(text.trim(), `The file ${path}`, path);
}

/** Reads a token from the first line of stdin, which whoever started this process writes at once. */
export async function readTokenFromStdin(): Promise<Secret> {
  const text = await new Promise<string>((resolve) => {
    let read = "";
    const done = (): void => {
      process.stdin.off("data", take).off("end", done).pause();
      resolve(read);
    };
    const take = (chunk: Buffer): void => {
      read += chunk.toString("latin1");
      if (read.includes("\n") || read.length > FILE_MAX) done();
    };
    process.stdin.on("data", take).on("end", done);
  });
  return checked(text.trim(), "stdin", "stdin");
}

/** MOBULA_TOKEN, else the file that MOBULA_TOKEN_FILE names, else `token` in the folder; undefined when there is none of them. */
export function findToken({ dir, env = process.env }: { dir?: string; env?: NodeJS.ProcessEnv } = {}): FoundToken | undefined {
  const text = env["MOBULA_TOKEN"];
  if (text !== undefined && text !== "") return { token: checked(text.trim(), "MOBULA_TOKEN", "MOBULA_TOKEN"), from: "MOBULA_TOKEN" };
  const named = env["MOBULA_TOKEN_FILE"];
  if (named !== undefined && named !== "") return { token: readTokenFile(named), from: resolve(named) };
  const path = join(dir ?? homeFolder(env), TOKEN_FILE);
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
  return { token: readTokenFile(path), from: path };
}

function checked(text: string, what: string, value: string): Secret {
  if (text.length > 0 && text.length <= TOKEN_MAX && /^[!-~]+$/.test(text)) return new Secret(text);
  const why = text === "" ? "it is empty" : "a token is one word of visible ASCII characters";
  throw wrong(`${what} holds no token`, why, "Copy the file named token from the folder of the cluster's head", value);
}

function readClosed(path: string): string {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "there is no such file" : code === "EACCES" ? "this user may not read it" : (error as Error).message;
    const todo = `Copy the file named token from the folder of the cluster's head, and keep it closed: chmod 600 ${path}`;
    throw wrong(`Cannot read the token in ${path}`, why, todo, path, error);
  }
  try {
    const info = fstatSync(file);
    if (!info.isFile()) throw wrong(`Cannot read the token in ${path}`, "it is not a file", `Look at ${dirname(path)}`, path);
    if ((info.mode & OTHERS) !== 0) {
      const mode = (info.mode & 0o777).toString(8).padStart(4, "0");
      throw wrong(`The token in ${path} is refused`, `its mode ${mode} lets other users at it`, `Run: chmod 600 ${path}`, path);
    }
    const buffer = Buffer.alloc(FILE_MAX);
    return buffer.toString("latin1", 0, readSync(file, buffer, 0, FILE_MAX, 0));
  } finally {
    closeSync(file);
  }
}
