/** The description of the API for programs, OpenAPI 3.1, written from the routes. */
import type { Field, JsonSchema } from "./fields.ts";
import { jobSchema, routes } from "./routes.ts";
import type { Answer, Route, RouteName } from "./routes.ts";

const error: JsonSchema = {
  type: "object",
  properties: {
    error: {
      type: "object",
      properties: {
        code: { type: "string" },
        message: { type: "string" },
        field: { type: "string", description: "The field of the body, path or query that is wrong" },
      },
      required: ["code", "message"],
    },
  },
  required: ["error"],
};

/** What a route may answer besides its own. */
function refusalsOf({ access, params, body, query }: Route): Readonly<Record<number, string | undefined>> {
  const open = access === "everybody";
  return {
    403: open ? "Wrong Host or Origin" : "Wrong Host or Origin, or a token that is not the right one",
    ...(open ? {} : { 401: "No token", 503: "Control does not answer, or too much is under way" }),
    ...(params !== undefined && "id" in params ? { 404: "There is no such job" } : {}),
    ...(params !== undefined && "sha256" in params && body === undefined ? { 404: "There is no such package" } : {}),
    ...(params !== undefined || query !== undefined || body !== undefined ? { 422: "Something in it is wrong; `field` says what" } : {}),
    ...(body === undefined ? {} : { 413: "Too large", 415: "Not of the type that is taken" }),
    ...(body === "package" ? { 507: "There is no room for it" } : {}),
  };
}

export function openApi(version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const [name, route] of Object.entries(routes) as [RouteName, Route][]) {
    (paths[route.path] ??= {})[route.method.toLowerCase()] = operation(name, route);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "mobula",
      version,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      description: "Jobs on a cluster of mobula. Every route but /healthz takes the cluster's token, or a job's own for some.",
    },
    servers: [{ url: "/" }],
    security: [{ token: [] }],
    paths,
    components: {
      schemas: { Job: jobSchema, Error: error },
      securitySchemes: { token: { type: "http", scheme: "bearer", description: "The token in the file that `mobula token` names" } },
    },
  };
}

function operation(name: string, route: Route): object {
  const { about, access, params, query, body, answers } = route;
  const parameters = [...parametersOf(params, "path"), ...parametersOf(query, "query")];
  const responses: Record<string, object> = {};
  for (const [status, answer] of Object.entries(answers)) responses[status] = responseOf(answer);
  for (const [status, what] of Object.entries(refusalsOf(route))) responses[status] ??= responseOf({ about: what ?? "", schema: refused });
  responses["default"] = responseOf({ about: "Whatever else is wrong", schema: refused });
  return {
    operationId: name,
    summary: about,
    ...(access === "everybody" ? { security: [] } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: contentOf(body) } }),
    responses,
  };
}

const refused = { $ref: "#/components/schemas/Error" };

function parametersOf(fields: Readonly<Record<string, Field<string>>> | undefined, place: "path" | "query"): object[] {
  return Object.entries(fields ?? {}).map(([name, { schema }]) => ({ name, in: place, required: place === "path", schema }));
}

function contentOf(body: Field<unknown> | "package"): object {
  if (body !== "package") return { "application/json": { schema: body.schema } };
  return Object.fromEntries(packageTypes.map((type) => [type, { schema: { type: "string", format: "binary" } }]));
}

/** Of a package's bytes; what they are is seen from their beginning. */
export const packageTypes = ["application/zip", "application/gzip", "application/octet-stream"] as const;

function responseOf({ about, type = "application/json", schema }: Answer): object {
  return { description: about, content: { [type]: { schema: schema ?? (type === "text/plain" ? { type: "string" } : refused) } } };
}
