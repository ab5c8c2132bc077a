#!/usr/bin/env node
/** The command `mobula`: exit code 0 when it did what was asked, 2 for a call that is wrong, 1 for all else. */
import { readFileSync } from "node:fs";
import { UsageError } from "./command.ts";
import { commands } from "./commands/index.ts";
import { helpOf, overview } from "./help.ts";
import { Output, printError } from "./output.ts";
import { parse } from "./parse.ts";

function version(): string {
  const { version: text } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  return text;
}

async function main(words: readonly string[]): Promise<number> {
  const [first] = words;
  if (first === undefined || first === "help" || first === "--help" || first === "-h") {
    process.stdout.write(`${overview(commands, version())}\n`);
    return first === undefined ? 2 : 0;
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

// A pipe that is closed early, as by `head`, is no failure.
process.stdout.on("error", () => process.exit(0));
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  printError(error instanceof Error ? error.message : String(error));
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
