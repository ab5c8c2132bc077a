/** Markdown as the tests need it: headings, links, fenced blocks, and the tests that a page names. */
import fs from "node:fs";
import path from "node:path";
import { readText, root } from "./sources.ts";

export interface Fence {
  readonly info: string;
  readonly body: string;
  /** Counted from 1. */
  readonly line: number;
}

export function fencesOf(text: string): Fence[] {
  const lines = text.split("\n");
  const fences: Fence[] = [];
  for (let i = 0; i < lines.length; i++) {
    const open = /^```(.*)$/.exec(lines[i]!);
    if (!open) continue;
    const end = lines.indexOf("```", i + 1);
    if (end < 0) throw new Error(`the block that line ${i + 1} opens is never closed`);
    fences.push({ info: open[1]!.trim(), body: lines.slice(i + 1, end).join("\n"), line: i + 1 });
    i = end;
  }
  return fences;
}

/** The text with fenced blocks and code spans blank, so that nothing in them counts as prose. */
export function proseOf(text: string): string {
  return text.replaceAll(/^```[^]*?^```$/gm, "").replaceAll(/`[^`\n]*`/g, "``");
}

/** The names by which headings can be linked to, made as code hosts make them. */
export function anchorsOf(text: string): string[] {
  const headings = [...text.replaceAll(/^```[^]*?^```$/gm, "").matchAll(/^#{1,6} (.+)$/gm)];
  return headings.map(([, title]) =>
    title!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .trim()
      .replaceAll(" ", "-"),
  );
}

/** What is wrong with the relative links of a page, a line each. */
export function brokenLinks(file: string, text: string): string[] {
  const wrong: string[] = [];
  for (const [, target] of proseOf(text).matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/i.test(target!)) continue;
    const [place = "", anchor] = target!.split("#");
    const absolute = place === "" ? path.join(root, file) : path.resolve(root, path.dirname(file), place);
    if (!fs.existsSync(absolute)) wrong.push(`${file}: ${target} is not there`);
    else if (anchor !== undefined && !anchorsOf(fs.readFileSync(absolute, "utf8")).includes(anchor)) {
      wrong.push(`${file}: ${target} has no such heading`);
    }
  }
  return wrong;
}

/** Whether a file of tests has a test with that title, written as the first argument of `test` or `it`. */
export function hasTest(file: string, title: string): boolean {
  if (!file.endsWith(".test.ts") || !fs.existsSync(path.join(root, file))) return false;
  const source = readText(file);
  const forms = [JSON.stringify(title), `'${title}'`, `\`${title}\``].map((form) => form.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`\\b(?:test|it)\\(\\s*(?:${forms.join("|")})`).test(source);
}
