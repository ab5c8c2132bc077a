/** Small values by name, as control is asked for them: values in base64. A question that comes twice does no harm. */
import { KEY_MAX, VALUE_MAX } from "../../core/control/key-value.ts";
import { InvalidOptionError } from "../../errors/index.ts";
import type { Question } from "../network/index.ts";
import type { ControlSource } from "./questions.ts";

const valueQuestions = ["valuePut", "valueGet", "valueDelete", "valueKeys"] as const;
type ValueQuestion = (typeof valueQuestions)[number];

const LISTED_MAX = 10_000;

export const isValueQuestion = (kind: string): kind is ValueQuestion => (valueQuestions as readonly string[]).includes(kind);

export async function answerValues(source: ControlSource, kind: ValueQuestion, question: Question): Promise<unknown> {
  const { keyValue } = source.machine;
  const namespace = textOf(question, "namespace");
  if (!/^[\w.-]+$/.test(namespace)) throw wrong("namespace", "letters, digits, dots and dashes", namespace);
  const full = (name: string): string => `${namespace}/${textOf(question, name)}`;
  switch (kind) {
    case "valueGet": {
      const value = keyValue.get(full("key"));
      return { value: Buffer.from(value ?? []).toString("base64"), found: value !== undefined };
    }
    case "valueKeys": {
      const after = question["after"] === undefined ? "" : full("after");
      const most = Math.min(LISTED_MAX, Number(question["limit"] ?? LISTED_MAX));
      return keyValue.keys(full("prefix"), { after, most }).map((key) => key.slice(namespace.length + 1));
    }
    case "valuePut": {
      const key = full("key");
      const value = Buffer.from(textOf(question, "value"), "base64");
      if (key.length > KEY_MAX) throw wrong("key", `at most ${KEY_MAX} characters with its namespace`, `${key.length}`);
      if (value.byteLength > VALUE_MAX) throw wrong("value", `at most ${VALUE_MAX} bytes`, `${value.byteLength}`);
      const done = await source.act((machine) => machine.keyValue.put(key, value, question["onlyIfNew"] === true));
      if (done === "full") throw wrong("value", "what control has room for: remove some first", `${value.byteLength} bytes`);
      return { done };
    }
    case "valueDelete":
      return { deleted: await source.act((machine) => machine.keyValue.delete(full("key"))) };
    default:
      return kind satisfies never;
  }
}

function textOf(question: Question, field: string): string {
  const value = question[field];
  if (typeof value !== "string") throw wrong(field, "a text", typeof value);
  return value;
}

function wrong(field: string, wanted: string, value: string): InvalidOptionError {
  return new InvalidOptionError(`${field} has to be ${wanted}, not ${value.slice(0, 100)}.`, { option: field, value });
}
