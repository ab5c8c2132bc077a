/** Writes docs/cli.md from the table of commands: `npm run cli:docs`. A test holds the page to the table. */
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { commands } from "../src/cli/commands/index.ts";
import { helpOf } from "../src/cli/help.ts";

export const PAGE = path.resolve(import.meta.dirname, "../docs/cli.md");

export function cliPage(): string {
  const parts = commands.map((command) => `## ${command.name}\n\n\`\`\`text\n${helpOf(command)}\n\`\`\`\n`);
  return `# The command line

\`npx mobula COMMAND\`. Every command takes \`--json\` and \`--help\`. The exit code is 0 when it did what was asked, 2 for a call
that is wrong, 1 for all else; an error is one line on stderr that says what to do, and stdout is then empty. Written from the commands by
\`npm run cli:docs\`.

${parts.join("\n")}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) fs.writeFileSync(PAGE, cliPage());
