/** From the words after `mobula` to a command and its options. What is wrong is said with the nearest right word. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { nearest } from "../errors/index.ts";
import type { Command } from "./command.ts";
import { UsageError } from "./command.ts";

export interface Parsed {
  readonly command: Command;
  readonly options: Record<string, string | boolean | string[] | undefined>;
  readonly arguments: string[];
  readonly json: boolean;
  readonly help: boolean;
}

export function parse(words: readonly string[], commands: readonly Command[]): Parsed {
  const command = findCommand(words, commands);
  const rest = words.slice(command.name.split(" ").length);
  const { own, passed } = split(rest, command);
  const options = Object.fromEntries(
    Object.entries(command.options).map(([name, { value, short, many }]) => [
      name,
      {
        type: value === undefined ? ("boolean" as const) : ("string" as const),
        multiple: many === true,
        ...(short === undefined ? {} : { short }),
      },
    ]),
  );
  let parsed;
  try {
    parsed = parseArgs({
      args: withNegatives(own, command),
      allowPositionals: true,
      options: { ...options, json: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    });
  } catch (error) {
    const own = command.passesOn === "after --" && !words.includes("--") ? " Its own command stands after --." : "";
    throw new UsageError(`${explained(error as Error, command)}${own} See: mobula ${command.name} --help`);
  }
  const { json, help, ...values } = parsed.values as Record<string, string | boolean | string[] | undefined>;
  if (command.passesOn === "after --" && passed.length > 0 && parsed.positionals.length > 0 && help !== true) {
    const [stray] = parsed.positionals;
    throw new UsageError(
      `${command.name} takes its command after --, and ${JSON.stringify(stray)} stands before it. See: mobula ${command.name} --help`,
    );
  }
  const given = [...parsed.positionals, ...passed];
  if (help !== true) checkCount(command, given.length);
  return { command, options: withAbsoluteFolders(values, command), arguments: given, json: json === true, help: help === true };
}

/** What a command starts may run in another folder. */
function withAbsoluteFolders(values: Parsed["options"], { options }: Command): Parsed["options"] {
  const folders = Object.entries(values).filter(([name]) => options[name]?.value === "FOLDER");
  for (const [name, value] of folders) if (value === "") throw new UsageError(`--${name} must name a folder, and is empty`);
  return { ...values, ...Object.fromEntries(folders.map(([name, value]) => [name, resolve(value as string)])) };
}

/** `--priority -1` is a number and no option. */
function withNegatives(words: readonly string[], { options }: Command): string[] {
  const joined: string[] = [];
  for (const word of words) {
    const option = joined.at(-1);
    if (/^-\.?\d/.test(word) && option?.startsWith("--") === true && options[option.slice(2)]?.value !== undefined) {
      joined[joined.length - 1] = `${option}=${word}`;
    } else joined.push(word);
  }
  return joined;
}

/** The commands whose first word is this one, and have a second. */
export const groupOf = (word: string | undefined, commands: readonly Command[]): Command[] =>
  word === undefined ? [] : commands.filter(({ name }) => name.startsWith(`${word} `));

function findCommand(words: readonly string[], commands: readonly Command[]): Command {
  const [one, second] = words;
  if (one === undefined) throw new UsageError("a command is missing. See: mobula --help");
  const two = words.slice(0, 2).join(" ");
  const found = commands.find(({ name }) => name === two) ?? commands.find(({ name }) => name === one);
  if (found !== undefined) return found;
  const group = groupOf(one, commands).map(({ name }) => name);
  const missing = group.length > 0 && (second === undefined || second.startsWith("-"));
  if (missing) throw new UsageError(`a command is missing. Commands: ${group.join(", ")}`);
  const near = nearestCommand(one, two, group.length > 0 ? group : commands.map(({ name }) => name));
  const others = group.length > 0 ? `Commands: ${group.join(", ")}` : "See: mobula --help";
  throw new UsageError(
    `there is no command ${group.length > 0 ? two : one}. ${near === undefined ? others : `Did you mean: mobula ${near}?`}`,
  );
}

/** `jobs list` is `job list`, and so is what only lacks its first word: `logs`. */
function nearestCommand(one: string, two: string, names: readonly string[]): string | undefined {
  return nearest(two, names) ?? nearest(one, names) ?? names.find((name) => name.endsWith(` ${one}`));
}

/** What belongs to the command, and what it passes on. */
function split(words: readonly string[], { passesOn, options }: Command): { own: string[]; passed: string[] } {
  if (passesOn === undefined) return { own: [...words], passed: [] };
  const dashes = words.indexOf("--");
  if (passesOn === "after --")
    return dashes < 0 ? { own: [...words], passed: [] } : { own: words.slice(0, dashes), passed: words.slice(dashes + 1) };
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === "--") return { own: words.slice(0, i), passed: words.slice(i + 1) };
    if (!word.startsWith("-")) return { own: words.slice(0, i + 1), passed: words.slice(i + 1) };
    if (options[word.replace(/^--/, "")]?.value !== undefined) i++;
  }
  return { own: [...words], passed: [] };
}

function explained(error: Error, { name, options }: Command): string {
  const unknown = /Unknown option '(-+[^']+)'/.exec(error.message)?.[1];
  if (unknown === undefined) return `${error.message.split(". ")[0]!.replace(/\.$/, "")}.`;
  const near = nearest(
    unknown,
    [...Object.keys(options), "json", "help"].map((option) => `--${option}`),
  );
  return `${name} has no option ${unknown}.${near === undefined ? "" : ` Did you mean ${near}?`}`;
}

function checkCount({ name, takes = [0, 0], arguments: expected }: Command, count: number): void {
  const [least, most] = takes;
  if (count >= least && count <= most) return;
  const wanted = most === 0 ? "takes no argument" : `takes ${expected ?? `${least} to ${most} arguments`}`;
  throw new UsageError(`${name} ${wanted}, and ${count === 0 ? "none was" : `${count} were`} given. See: mobula ${name} --help`);
}
