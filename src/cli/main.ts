#!/usr/bin/env node
/** The command `mobula`: exit code 0 when it did what was asked, 2 for a call that is wrong, 1 for all else. */
import { readFileSync } from "node:fs";
import { UsageError } from "./command.ts";
import { commands } from "./commands/index.ts";
import { helpOf, overview } from "./help.ts";
import { Output, printError } from "./output.ts";
import { groupOf, parse } from "./parse.ts";

function version(): string {
  const { version: text } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  return text;
}

const isHelp = (word: string | undefined): boolean => word === "--help" || word === "-h";

async function main(given: readonly string[]): Promise<number> {
  const words = given[0] === "help" ? [...given.slice(1), "--help"] : given;
  const [first, second] = words;
  const listed = isHelp(first) ? commands : isHelp(second) ? groupOf(first, commands) : [];
  if (listed.length > 0) {
    process.stdout.write(`${overview(listed, version())}\n`);
    return 0;
  }
  if (first === "--version" || first === "-v") {
    process.stdout.write(`${version()}\n`);
    return 0;
  }
  const parsed = parse(words, commands);
  if (parsed.help) {
    process.stdout.write(`${helpOf(parsed.command)}\n`);
    return 0;
  }
  return await parsed.command.run({ options: parsed.options as never, arguments: parsed.arguments, output: new Output(parsed.json) });
}

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // A pipe that is closed early, as by `head`, is no failure.
  if (error.code === "EPIPE") process.exit(0);
  printError(`the output cannot be written: ${error.message}`);
  process.exit(1);
});
// There is nobody to tell.
process.stderr.on("error", () => {});
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  printError(error instanceof Error ? error.message : String(error));
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
