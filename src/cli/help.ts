/** `--help`, from the table of commands. */
import type { Command } from "./command.ts";

export function helpOf(command: Command): string {
  const { name, about, example, options } = command;
  const words = ["mobula", name, "[options]", command.arguments].filter((word) => word !== undefined);
  const rows = Object.entries({ ...options, json: { about: "Print JSON" }, help: { about: "Print this", short: "h" } }).map(
    ([option, { value, short, about: what }]: [string, { value?: string; short?: string; about: string }]) =>
      [`  ${short === undefined ? "" : `-${short}, `}--${option}${value === undefined ? "" : ` ${value}`}`, what] as const,
  );
  const width = Math.min(36, Math.max(...rows.map(([left]) => left.length)) + 2);
  const list = rows.map(([left, what]) => (left.length < width ? left.padEnd(width) + what : `${left}\n${" ".repeat(width)}${what}`));
  return `${words.join(" ")}\n\n${about}\n\nOptions:\n${list.join("\n")}\n\nExample:\n  ${example}`;
}

export function overview(commands: readonly Command[], version: string): string {
  const width = Math.max(...commands.map(({ name }) => name.length)) + 4;
  const list = commands.map(({ name, about }) => `  ${name.padEnd(width)}${about}`);
  return [
    `mobula ${version}: clusters for TypeScript programs`,
    "",
    "mobula COMMAND [options]",
    "",
    ...list,
    "",
    "Each has --help with its options and an example, and --json.",
    "",
    "Example:",
    "  mobula start --head && mobula run program.ts && mobula stop",
  ].join("\n");
}
