/** From the words after `mobula` to a command and its options. What is wrong is said with the nearest right word. */
import { parseArgs } from "node:util";
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
    throw new UsageError(`${explained(error as Error, command)} See: mobula ${command.name} --help`);
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
  return { command, options: values, arguments: given, json: json === true, help: help === true };
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

function findCommand(words: readonly string[], commands: readonly Command[]): Command {
  const two = words.slice(0, 2).join(" ");
  const found = commands.find(({ name }) => name === two) ?? commands.find(({ name }) => name === words[0]);
  if (found !== undefined) return found;
  const group = commands.filter(({ name }) => name.startsWith(`${words[0]} `)).map(({ name }) => name);
  if (group.length > 0) {
    const wanted = words[1] === undefined || words[1].startsWith("-") ? "a command is missing" : `there is no command ${two}`;
    const near = nearest(two, group);
    throw new UsageError(`${wanted}.${near === undefined ? ` Commands: ${group.join(", ")}` : ` Did you mean: mobula ${near}?`}`);
  }
  const near = nearest(
    words[0] ?? "",
    commands.map(({ name }) => name),
  );
  throw new UsageError(`there is no command ${words[0]}.${near === undefined ? " See: mobula --help" : ` Did you mean: mobula ${near}?`}`);
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

/** The candidate that differs least, if it is near at all: edit distance. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = distanceOf(word, candidate);
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
