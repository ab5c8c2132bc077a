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

/** What the parser refuses before there is a request: status, reason, code, message. */
const CLIENT_ERRORS: Readonly<Record<string, readonly [string, string, string]>> = {
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "HEADERS_TOO_LARGE", "The headers are too long."],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "TOO_SLOW", "The request did not come in time."],
};
const NO_HTTP = ["400 Bad Request", "NOT_HTTP", "What came is no HTTP/1.1 request."] as const;

/** The whole answer, for a connection that is closed then. */
export function clientRefusal(reason = ""): string {
  const [status, code, message] = CLIENT_ERRORS[reason] ?? NO_HTTP;
  const body = printRefusal({ code, message });
  const head = ["Content-Type: application/json; charset=utf-8", `Content-Length: ${body.length}`, "Connection: close"];
  return `HTTP/1.1 ${status}\r\n${head.join("\r\n")}\r\n\r\n${body}`;
}

export function printRefusal({
  code,
  message,
  field,
}: {
  readonly code: string;
  readonly message: string;
  readonly field?: string | undefined;
}): string {
  return `${JSON.stringify({ error: { code, message, ...(field === undefined ? {} : { field }) } })}\n`;
}
