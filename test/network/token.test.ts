/** Secrets and the files that hold them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { InvalidOptionError } from "../../src/errors/index.ts";
import { createToken, findToken, readTokenFile, Secret } from "../../src/runtime/network/index.ts";
import { freshFolder, leakChecked } from "../harness/index.ts";

leakChecked();

const refused =
  (...words: RegExp[]) =>
  (error: unknown): boolean =>
    error instanceof InvalidOptionError && !error.message.includes("\n") && words.every((word) => word.test(error.message));

test("a secret is shown nowhere", () => {
  const secret = new Secret("the-text-of-it");
  const holder = { nested: [secret], error: new Error("x", { cause: secret }) };
  const shown = [
    String(secret),
    "".concat(secret as never),
    JSON.stringify(holder),
    inspect(holder, { depth: 9, showHidden: true }),
    inspect(secret, { customInspect: false, showHidden: true }),
    JSON.stringify(structuredClone({ ...secret })),
    Object.keys(secret).join(),
  ];
  for (const text of shown) assert.ok(!text.includes("the-text"), text);
  assert.equal(secret.expose(), "the-text-of-it");
});

test("secrets are compared whole, and derived by purpose", () => {
  const secret = new Secret("abc");
  assert.ok(secret.equals("abc") && secret.equals(new Secret("abc")));
  for (const other of ["", "ab", "abcd", "abd"]) assert.ok(!secret.equals(other), other);
  const keys = [
    secret.derive("p", "ab", "c"),
    secret.derive("p", "a", "bc"),
    secret.derive("q", "ab", "c"),
    new Secret("x").derive("p", "ab", "c"),
  ];
  assert.equal(new Set(keys.map((key) => key.toString("hex"))).size, 4);
  assert.notEqual(Secret.random().expose(), Secret.random().expose());
  assert.match(Secret.random().expose(), /^[\w-]{43}$/);
});

test("a token is made once in a folder, in a file and folder that are closed to others", (t) => {
  const folder = path.join(freshFolder(t), "home");
  const made = createToken(folder);
  assert.equal(made.from, path.join(folder, "token"));
  assert.equal(fs.statSync(folder).mode & 0o777, 0o700);
  assert.equal(fs.statSync(made.from).mode & 0o777, 0o600);
  assert.ok(createToken(folder).token.equals(made.token));
  assert.deepEqual(fs.readdirSync(folder), ["token"]);
  assert.equal(fs.readFileSync(made.from, "utf8"), `${made.token.expose()}\n`);
});

test("processes that make the token at once get the same one", (t) => {
  const folder = path.join(freshFolder(t), "home");
  const program = `
    import { createToken } from ${JSON.stringify(path.resolve("src/runtime/network/index.ts"))};
    console.log(createToken(process.argv[1]).token.expose());
  `;
  const command = `for i in 1 2 3 4; do "${process.execPath}" --import tsx --input-type=module -e '${program}' "${folder}" & done; wait`;
  const { stdout, stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8" });
  const tokens = stdout.trim().split("\n");
  assert.equal(tokens.length, 4, stderr);
  assert.equal(new Set(tokens).size, 1);
});

test("a token file that others can read is refused, with what to do", (t) => {
  const { from } = createToken(freshFolder(t));
  for (const mode of [0o640, 0o604, 0o660, 0o777]) {
    fs.chmodSync(from, mode);
    assert.throws(() => readTokenFile(from), refused(new RegExp(`mode ${mode.toString(8).padStart(4, "0")}`), /chmod 600/));
  }
  fs.chmodSync(from, 0o400);
  readTokenFile(from);
});

test("a folder that others may write to holds no token", (t) => {
  const folder = freshFolder(t);
  fs.chmodSync(folder, 0o777);
  assert.throws(() => createToken(folder), refused(/Others may write/, /chmod 700/));
  assert.deepEqual(fs.readdirSync(folder), []);
});

test("what holds no token is refused in one line that does not repeat it", (t) => {
  const folder = freshFolder(t);
  const file = path.join(folder, "f");
  const cases: [string, RegExp][] = [
    ["", /empty/],
    [" \n", /empty/],
    ["two words", /one word/],
    ["tök", /one word/],
    ["x".repeat(2000), /one word/],
  ];
  for (const [text, words] of cases) {
    const isRefused = (error: unknown): boolean => refused(words)(error) && !/two words|tök|xxx/.test((error as Error).message);
    fs.writeFileSync(file, text, { mode: 0o600 });
    assert.throws(() => readTokenFile(file), isRefused);
    if (text !== "") assert.throws(() => findToken({ env: { MOBULA_TOKEN: text } }), isRefused);
  }
  assert.throws(() => readTokenFile(path.join(folder, "none")), refused(/no such file/));
  assert.throws(() => readTokenFile(folder), refused(/not a file/));
});

test("MOBULA_TOKEN goes before MOBULA_TOKEN_FILE, that before the folder, and a wrong one is not passed over", (t) => {
  const folder = freshFolder(t);
  const other = path.join(folder, "other");
  fs.mkdirSync(other, { mode: 0o700 });
  const inFolder = createToken(folder);
  const inFile = createToken(other);
  const env = { MOBULA_TOKEN: "given", MOBULA_TOKEN_FILE: inFile.from };
  assert.equal(findToken({ dir: folder, env })?.token.expose(), "given");
  assert.equal(findToken({ dir: folder, env: { ...env, MOBULA_TOKEN: "" } })?.from, inFile.from);
  assert.equal(findToken({ dir: folder, env: {} })?.from, inFolder.from);
  assert.equal(findToken({ env: { MOBULA_HOME: folder } })?.from, inFolder.from);
  assert.equal(findToken({ dir: path.join(folder, "empty"), env: {} }), undefined);
  assert.throws(() => findToken({ dir: folder, env: { MOBULA_TOKEN_FILE: path.join(folder, "none") } }), refused(/no such file/));
});
