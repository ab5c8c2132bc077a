/** The arithmetic of the benchmark suite: statistics, bars, the guard, plots, and that its rows are the ones that were agreed on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AREAS, CONTENDERS, POOLS } from "../../bench/definitions.ts";
import type { Row } from "../../bench/definitions.ts";
import { behind, excerpt, merged, page, withExcerpt } from "../../bench/report/document.ts";
import { compare } from "../../bench/report/fallen.ts";
import { bestOf, figure, judge } from "../../bench/report/figures.ts";
import { decades, svg } from "../../bench/report/plot.ts";
import { collect } from "../../bench/report/results.ts";
import { markdown, printed } from "../../bench/report/table.ts";
import { rows } from "../../bench/rows/index.ts";
import { Contender, sizedFor } from "../../bench/runner/serve.ts";
import { innerRatio, median, pairRatio, spread } from "../../bench/runner/statistics.ts";
import { figureOf, warmUp } from "../../bench/runner/suite.ts";

const rate: Row = {
  id: "X",
  area: "tasks",
  title: "a rate",
  unit: "per s",
  perCall: 1000,
  contenders: ["mobula", "limit", "piscina", "tinypool", "ray"],
  bars: [
    { kind: "times", rival: "limit", times: 0.25, wanted: 0.4 },
    { kind: "times", rival: "npm", times: 3 },
    { kind: "times", rival: "ray", times: 15 },
  ],
};
const time: Row = { ...rate, id: "Y", title: "a time", unit: "ms", perCall: 1, bars: [{ kind: "bound", bound: 300 }] };

test("median, spread and ratios pair by pair", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.ok(Number.isNaN(median([])));
  assert.equal(spread([90, 100, 110]), 0.2);
  // The machine slowed down to a half in the second round: the ratio is the same in both.
  assert.deepEqual(pairRatio([100, 50], [10, 5], true), { median: 10, low: 10, high: 10 });
  assert.deepEqual(pairRatio([2], [10], false), { median: 5, low: 5, high: 5 });
  assert.equal(pairRatio([], [1], true), undefined);
  assert.deepEqual(innerRatio([1, 9, 10, 11, 99], [1, 1, 1, 1, 1], true), { median: 10, low: 9, high: 11 });
  assert.deepEqual(innerRatio([1, 9, 10], [1, 1, 1], true), { median: 9, low: 1, high: 10 });
});

test("a round's figure is in the unit of its row", () => {
  assert.equal(figureOf(rate, { calls: 10, seconds: 2 }), 5000);
  assert.equal(figureOf(time, { calls: 10, seconds: 2 }), 200);
  assert.equal(figureOf(time, { value: 7 }), 7);
  assert.throws(() => figureOf(time, {}), /no figure/);
});

test("bars: met, behind, wanted, not measured", () => {
  const values = { mobula: [300, 300], limit: [1000, 1000], piscina: [50, 50], tinypool: [60, 60] };
  assert.equal(bestOf(rate, values, POOLS), "tinypool");
  const [limit, npm, ray] = rate.bars.map((bar) => judge(rate, bar, values));
  assert.deepEqual([limit!.met, limit!.wanted, limit!.ratio!.median], [true, false, 0.3]);
  assert.deepEqual([npm!.met, npm!.against, npm!.ratio!.median], [true, "tinypool", 5]);
  assert.equal(ray!.met, undefined);
  assert.equal(judge(time, time.bars[0]!, { mobula: [301] }).met, false);
  assert.equal(judge(time, time.bars[0]!, { mobula: [299] }).met, true);
  assert.equal(judge(time, { kind: "above limit", margin: 20 }, { mobula: [61], limit: [40] }).met, false);
});

test("the guard forgives noise and nothing more", () => {
  const steady = (middle: number) => ({ median: middle, low: middle * 0.95, high: middle * 1.05 });
  const now = { same: steady(0.29), fell: steady(0.2), restless: { median: 0.2, low: 0.1, high: 0.3 } };
  const found = compare({ same: steady(0.3), fell: steady(0.3), restless: steady(0.3), gone: steady(1) }, now);
  assert.deepEqual(
    found.filter(({ fallen }) => fallen).map(({ id }) => id),
    ["fell", "gone"],
  );
});

test("figures are readable, plots have decades", () => {
  assert.deepEqual([figure(1234567), figure(0.12345), figure(12.34), figure(NaN)], ["1,234,567", "0.123", "12.3", "-"]);
  assert.deepEqual(decades([20, 5000]), [10, 100, 1000, 10_000]);
  const drawing = svg({
    title: "a < b",
    across: "tasks",
    unit: "us",
    points: [
      [10, 2],
      [100, 2],
      [1000, 2.1],
    ],
  });
  assert.equal(drawing.match(/<circle/g)!.length, 3);
  assert.match(drawing, /a &lt; b/);
  assert.throws(() => svg({ title: "x", across: "y", unit: "us", points: [] }), /nothing to draw/);
});

test("rows are well formed, and Ray's are all there with what they count", () => {
  const byId = new Map(rows.map((row) => [row.id, row]));
  assert.equal(byId.size, rows.length);
  for (const row of rows) {
    assert.ok((AREAS as readonly string[]).includes(row.area), row.id);
    assert.ok(row.contenders.includes("mobula") && row.contenders.every((name) => CONTENDERS.includes(name)), row.id);
    for (const bar of row.bars) {
      if (bar.kind === "times" && bar.rival === "ray") assert.ok(row.contenders.includes("ray"), row.id);
      if (bar.kind === "above limit" || (bar.kind === "times" && bar.rival === "limit"))
        assert.ok(row.contenders.includes("limit"), row.id);
    }
  }
  // Ray's own multipliers; its A5 is A10 in batches.
  const counts = {
    1: 1,
    2: 1,
    3: 1000,
    4: 0.8,
    6: 8,
    7: 1,
    8: 1,
    9: 1,
    10: 1000,
    11: 40_000,
    12: 1,
    13: 1000,
    14: 1000,
    15: 5000,
    16: 20_000,
  };
  const more = { 17: 1000, 18: 1, 19: 1000, 20: 1000, 21: 5000, 22: 20_000, 23: 100 };
  for (const [number, count] of Object.entries({ ...counts, ...more })) assert.equal(byId.get(`A${number}`)?.perCall, count, `A${number}`);
});

test("a contender times loops, takes their own figure, and closes them", async () => {
  const log: string[] = [];
  const contender = new Contender({
    timed: () => ({ once: async () => log.push("once"), close: async () => log.push("close") }),
    own: (size) => ({ measure: async () => size(1000, 100) }),
  });
  await contender.answer({ do: "prepare", row: "timed", effort: "smoke", warmSeconds: 0 });
  const { calls, seconds } = await contender.answer({ do: "round", seconds: 0 });
  assert.ok(calls === 1 && seconds! >= 0);
  await contender.answer({ do: "prepare", row: "own", effort: "quick", warmSeconds: 0 });
  assert.deepEqual(log, ["once", "once", "close"]);
  assert.deepEqual(await contender.answer({ do: "round", seconds: 0 }), { value: 100 });
  await assert.rejects(contender.answer({ do: "prepare", row: "none", effort: "smoke", warmSeconds: 0 }), /no loop called none/);
  assert.deepEqual([sizedFor("full")(7, 3), sizedFor("quick")(7), sizedFor("smoke")(7000)], [7, 7, 10]);
});

test("a warm-up goes on while rounds are a tenth better, six at most", async () => {
  const rounds = async (row: Row, ...seconds: number[]): Promise<number> => {
    let asked = 0;
    await warmUp(row, { calls: 1, seconds: 1 }, async () => ({ calls: 1, seconds: seconds[asked++]! }));
    return asked;
  };
  for (const row of [rate, time]) {
    assert.equal(await rounds(row, 1.2), 1);
    assert.equal(await rounds(row, 0.8, 0.6, 0.58), 3);
    assert.equal(await rounds(row, 0.5, 0.25, 0.12, 0.06, 0.03, 0.01, 0.001), 6);
  }
});

test("the page and the table say what was measured and where this project is behind", () => {
  const program = { command: "", args: [] };
  const contenders = [
    { name: "mobula" as const, kind: "processes", version: "1", program },
    { name: "ray" as const, kind: "processes", version: "", missing: "it is not installed", program },
  ];
  const measured = [
    {
      row: rate,
      results: new Map([
        ["mobula" as const, { values: [100, 100] }],
        ["limit" as const, { values: [1000, 1000] }],
      ]),
    },
    { row: time, results: new Map([["mobula" as const, { values: [400], failed: "a | b" }]]) },
  ];
  const results = collect(measured, contenders, { command: "npm run bench", rounds: 2, seconds: 1, commit: "abc", changed: false });
  const late = behind(results);
  assert.equal(late.length, 2);
  assert.match(late[0]!, /\*\*X\*\*, a rate: 100\/s\. The bar is 0\.25 x the limit.*now 0\.1 x/);
  assert.match(page(results), /Where this project is behind\n\n- \*\*X\*\*/);
  assert.match(page(results), /Bars that this run could not measure: X \(3 x the best npm pool\)/);
  assert.match(markdown(results.rows, results), /\| absent \|/);
  assert.match(printed(results), /ray is absent: it is not installed/);
  const later = { ...results, command: "npm run bench -- tasks", rows: [{ ...results.rows[0]!, title: "measured again" }] };
  const both = merged([results, later]);
  assert.deepEqual(
    both.rows.map(({ title }) => title),
    ["measured again", "a time"],
  );
  assert.equal(both.command, "npm run bench\n$ npm run bench -- tasks");
  assert.match(page(both), /made in 2 calls: one commit, the last written 0 minutes after the first/);
  assert.match(page(merged([results, { ...later, commit: "def" }])), /made in 2 calls: NOT one session: commits abc, def, 0 minutes apart/);
  assert.match(page(merged([results, { ...later, changed: true }])), /NOT one session: one commit, .* not committed/);
  assert.doesNotMatch(page(results), /made in/);
  assert.doesNotMatch(page(results), /This run was disturbed/);
  const wild = { row: rate, results: new Map([["mobula" as const, { values: [100, 900] }]]) };
  const disturbed = collect([wild], contenders, { command: "npm run bench", rounds: 2, seconds: 1, commit: "abc", changed: false });
  assert.match(page(disturbed), /This run was disturbed.*in 1 of 1 rows/);
  assert.doesNotMatch(excerpt(disturbed), /a rate/);
  const mark = excerpt(results);
  assert.equal(withExcerpt(`before ${mark} after`, mark), `before ${mark} after`);
  assert.throws(() => withExcerpt("nothing", mark), /lacks the lines/);
});
