/** What commands print: for people, with colours on a terminal only, or as JSON. Errors are one line on stderr. */
import { stripVTControlCharacters, styleText } from "node:util";

export class Output {
  readonly json: boolean;
  readonly #colours: boolean;

  constructor(json: boolean) {
    this.json = json;
    this.#colours = !json && process.stdout.isTTY && coloursWanted(process.env);
  }

  /** One value: as JSON, or as the lines that `text` makes of it. */
  result<T>(value: T, text: (value: T) => string): void {
    process.stdout.write(`${this.json ? JSON.stringify(value, undefined, 2) : text(value)}\n`);
  }

  /** For people only. */
  line(text: string): void {
    if (!this.json) process.stdout.write(`${text}\n`);
  }

  style(format: Parameters<typeof styleText>[0], text: string): string {
    return this.#colours ? styleText(format, text) : text;
  }

  /** Columns as wide as they need. */
  table(head: readonly string[], rows: readonly (readonly string[])[]): string {
    const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => stripVTControlCharacters(row[i] ?? "").length)));
    const pad = (text: string, width: number): string => text + " ".repeat(Math.max(0, width - stripVTControlCharacters(text).length));
    const lineOf = (row: readonly string[]): string =>
      row
        .map((text, i) => pad(text, widths[i]!))
        .join("  ")
        .trimEnd();
    return [this.style("bold", lineOf(head)), ...rows.map(lineOf)].join("\n");
  }
}

/** As https://no-color.org says, and Node. */
export const coloursWanted = ({ NO_COLOR = "", FORCE_COLOR, TERM }: NodeJS.ProcessEnv): boolean =>
  NO_COLOR === "" && FORCE_COLOR !== "0" && TERM !== "dumb";

export function printError(message: string): void {
  process.stderr.write(`mobula: ${message.replaceAll(/\s*\n\s*/g, " ").trim()}\n`);
}
