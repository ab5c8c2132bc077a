/** Values of options, checked: what is wrong names the option. */
import { MobulaError } from "../errors/index.ts";
import { parseAddress } from "../runtime/network/address.ts";
import { UsageError } from "./command.ts";

export function number(option: string, text: string | undefined, least = 0, most = Number.MAX_SAFE_INTEGER): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < least || value > most) {
    throw new UsageError(`--${option} must be a number from ${least} to ${most}, and is ${JSON.stringify(text)}`);
  }
  return value;
}

export function port(option: string, text: string | undefined): number | undefined {
  const value = number(option, text, 0, 65_535);
  if (value !== undefined && !Number.isInteger(value)) throw new UsageError(`--${option} must be a whole number, and is ${text}`);
  return value;
}

/** `host:port`, several with commas. */
export function addresses(option: string, text: string): string[] {
  return text.split(",").map((each) => {
    try {
      parseAddress(each, option);
      return each.trim();
    } catch (error) {
      throw error instanceof MobulaError ? new UsageError(error.message) : error;
    }
  });
}

/** JSON of an object whose values are amounts. */
export function amounts(option: string, text: string | undefined): Record<string, number> | undefined {
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const own = Object.keys(Object(value)).find((name) => /^(cpu|gpu|memory|objectStoreMemory|)$/i.test(name.trim()));
  if (own !== undefined) {
    const instead = own.trim() === "" ? "and has an empty one" : `and ${own} is given by an option of its own, or by the machine`;
    throw new UsageError(`--${option} takes names of your own, ${instead}`);
  }
  const good = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!good || Object.values(value as object).some((amount) => typeof amount !== "number" || !(amount >= 0))) {
    throw new UsageError(`--${option} must be JSON such as '{"disk":2}', and is ${text}`);
  }
  return value as Record<string, number>;
}

/** `a=b,c=d`. */
export function pairs(option: string, text: string | undefined): Record<string, string> | undefined {
  if (text === undefined) return undefined;
  const result: Record<string, string> = {};
  for (const pair of text.split(",").filter((each) => each !== "")) {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(`--${option} must be a=b,c=d, and has ${JSON.stringify(pair)}`);
    result[pair.slice(0, at).trim()] = pair.slice(at + 1).trim();
  }
  return result;
}
