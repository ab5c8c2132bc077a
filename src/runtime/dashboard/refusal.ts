/** What a request gets in place of its answer: a status, and `{ error: { code, message } }`. */
import { BadField } from "./fields.ts";

export class HttpError extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The field that is wrong. */
  readonly field: string | undefined;

  constructor(
    status: number,
    code: string,
    message: string,
    { headers = {}, field }: { headers?: Record<string, string>; field?: string } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
    this.field = field;
  }
}

export const notFound = (what: string): HttpError => new HttpError(404, "NOT_FOUND", what);
export const busy = (what: string): HttpError => new HttpError(503, "BUSY", what, { headers: { "retry-after": "1" } });

/** What was thrown, as it is told. A fault of ours is told as one, without its insides; they are for the log. */
export function refusalOf(error: unknown, log: (line: string) => void): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof BadField) return new HttpError(422, "INVALID_BODY", error.message, { field: error.at });
  log(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return new HttpError(500, "INTERNAL", "This server failed at the request. Its log says more.");
}

export function printRefusal({ code, message, field }: HttpError): string {
  return `${JSON.stringify({ error: { code, message, ...(field === undefined ? {} : { field }) } })}\n`;
}
