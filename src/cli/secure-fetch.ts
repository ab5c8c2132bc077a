/** `fetch` over TLS with the certificate authority of a cluster, which the global one cannot be told. As much of it as a JobClient uses. */
import { request } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

export function secureFetch(ca: string): typeof fetch {
  return (input, init = {}) => {
    const { method = "GET", headers, body, signal } = init;
    return new Promise<Response>((resolve, reject) => {
      const asked = request(input as URL, {
        method,
        ca,
        minVersion: "TLSv1.3",
        headers: headers as Record<string, string>,
        ...(signal ? { signal } : {}),
      });
      asked.on("error", (error) => reject(new TypeError("fetch failed", { cause: error })));
      asked.on("response", (answer) => {
        const status = answer.statusCode ?? 0;
        const stream = Readable.toWeb(answer) as ReadableStream<Uint8Array>;
        resolve(new Response([101, 204, 205, 304].includes(status) ? null : stream, { status }));
      });
      if (body instanceof ReadableStream) {
        // What goes wrong with it is told by the request.
        pipeline(Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]), asked).catch(() => {});
      } else asked.end(body as string | Uint8Array | undefined);
    });
  };
}
