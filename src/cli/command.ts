/**
 * What a command is: its options, its example, and what it does. All of `mobula --help`, the parser, the completion and docs/cli.md come
 * from the table of these (commands/index.ts).
 */
import type { Output } from "./output.ts";

export interface Option {
  /** How its value is called in the help; absent for a flag. */
  readonly value?: string;
  readonly about: string;
  readonly short?: string;
  /** May be given more than once. */
  readonly many?: boolean;
}

/** Values as they were given: text, or true for a flag, or a list where it may be given often. */
export type Values<O extends Readonly<Record<string, Option>>> = {
  readonly [K in keyof O]?: O[K] extends { value: string } ? (O[K] extends { many: true } ? string[] : string) : boolean;
};

export interface Command<O extends Readonly<Record<string, Option>> = Readonly<Record<string, Option>>> {
  /** Words after `mobula`: "start", "job submit". */
  readonly name: string;
  /** Arguments, for the help: "NODE_ID". */
  readonly arguments?: string;
  readonly about: string;
  readonly options: O;
  readonly example: string;
  /** How many arguments it takes: least and most. */
  readonly takes?: readonly [least: number, most: number];
  /** Everything after `--`, or after the first argument, belongs to somebody else. */
  readonly passesOn?: "after --" | "after first";
  /** The exit code. Throws what is to be shown as an error. */
  run(call: { readonly options: Values<O>; readonly arguments: readonly string[]; readonly output: Output }): Promise<number>;
}

export function command<const O extends Readonly<Record<string, Option>>>(definition: Command<O>): Command {
  return definition as unknown as Command;
}

/** The call is wrong: exit code 2. */
export class UsageError extends Error {}

/** What was asked for could not be done: exit code 1, one line. */
export class CommandError extends Error {}
