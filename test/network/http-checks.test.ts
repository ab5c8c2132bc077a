/** What an HTTP request must pass: Host, Origin, token, in every combination. */
import assert from "node:assert/strict";
import type { IncomingHttpHeaders } from "node:http";
import { test } from "node:test";
import { checkBearer, checkHost, checkOrigin, checkRequest, Secret } from "../../src/runtime/network/index.ts";

const secret = new Secret("right-token");
const accepted: [string, Secret][] = [
  ["cluster", secret],
  ["job:1", new Secret("job-token")],
];

test("only names of this server are answered to", () => {
  const allowed = ["10.0.0.5", "head.example", "2001:db8::5"];
  const good = [
    "localhost",
    "localhost:8265",
    "LOCALHOST",
    "127.0.0.1:1",
    "127.9.9.9",
    "[::1]:8265",
    "10.0.0.5:8265",
    "Head.Example.",
    "[2001:db8::5]",
  ];
  for (const host of [...good, "app.localhost"]) assert.equal(checkHost(host, allowed), undefined, host);
  const bad = [undefined, "", "evil.test", "evil.test:8265", "10.0.0.6", "localhost.evil.test", "127.0.0.1.evil.test", "notlocalhost"];
  const odd = [
    "head.example@evil.test",
    "head.example/x",
    "head.example:80:80",
    "[localhost]",
    "[::2]",
    "0.0.0.0",
    "2130706433",
    "0x7f.1",
    " localhost",
  ];
  for (const host of [...bad, ...odd]) assert.equal(checkHost(host, allowed)?.status, 403, host);
});

test("pages from elsewhere are refused, programs and pages of this server are not", () => {
  const host = "localhost:8265";
  for (const headers of [{}, { origin: "http://localhost:8265" }, { "sec-fetch-site": "same-origin" }, { "sec-fetch-site": "none" }]) {
    assert.equal(checkOrigin({ host, ...headers }), undefined, JSON.stringify(headers));
  }
  const pages = [
    "http://evil.test",
    "null",
    "",
    "http://localhost",
    "http://localhost:8266",
    "file://",
    "http://localhost:8265/",
    "http://localhost:8265@evil.test",
  ];
  const refused: IncomingHttpHeaders[] = pages.map((origin) => ({ origin }));
  for (const site of ["cross-site", "same-site", "anything"]) refused.push({ "sec-fetch-site": site });
  for (const headers of refused) assert.equal(checkOrigin({ host, ...headers })?.status, 403, JSON.stringify(headers));
});

test("401 without a token, 403 with a wrong one, else whose it is", () => {
  for (const none of [undefined, "", "Bearer", "Bearer ", "Basic abc", "right-token", `Bearer ${"x".repeat(2000)}`, "Bearer a b"]) {
    assert.deepEqual(status(none), 401, none);
  }
  for (const wrong of ["Bearer x", "Bearer right-toke", "Bearer right-token2", "Bearer RIGHT-TOKEN"])
    assert.equal(status(wrong), 403, wrong);
  assert.deepEqual(checkBearer("Bearer right-token", accepted), { credential: "cluster" });
  assert.deepEqual(checkBearer("bearer   job-token", accepted), { credential: "job:1" });
  assert.equal(status("Bearer anything", []), 403);
});

function status(authorization: string | undefined, secrets = accepted): number {
  const result = checkBearer(authorization, secrets);
  return "refusal" in result ? result.refusal.status : 200;
}

test("Host is looked at first, then Origin, then the token, in every combination", () => {
  let combinations = 0;
  for (const host of ["localhost", "evil.test", undefined]) {
    for (const origin of [undefined, "http://localhost", "http://evil.test", "null"]) {
      for (const site of [undefined, "same-origin", "cross-site"]) {
        for (const authorization of [undefined, "Bearer right-token", "Bearer wrong"]) {
          for (const open of [false, true]) {
            const headers = Object.fromEntries(
              Object.entries({ host, origin, authorization, "sec-fetch-site": site }).filter(([, value]) => value !== undefined),
            );
            const result = checkRequest(headers, [], accepted, open);
            const got = "refusal" in result ? result.refusal.code : result.credential;
            const pageOk = (origin === undefined || origin === "http://localhost") && site !== "cross-site";
            const byToken = authorization === undefined ? "TOKEN_MISSING" : authorization.endsWith("wrong") ? "TOKEN_WRONG" : "cluster";
            const want = host !== "localhost" ? "WRONG_HOST" : !pageOk ? "WRONG_ORIGIN" : open ? "" : byToken;
            assert.equal(got, want, JSON.stringify({ headers, open }));
            combinations++;
          }
        }
      }
    }
  }
  assert.equal(combinations, 216);
});

test("no refusal repeats the token", () => {
  for (const authorization of ["Bearer secret-of-someone", "secret-of-someone", "Basic secret-of-someone"]) {
    assert.ok(!JSON.stringify(checkBearer(authorization, accepted)).includes("secret-of"));
  }
});
