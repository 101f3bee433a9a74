import assert from "node:assert/strict";
import { test } from "node:test";
import { type Column, compile, options, parse, ranges, rangeTerm, withTerm } from "./filter.ts";

const rows = [
  { lr: 1e-4, optimizer: "adamw", state: "running" },
  { lr: 1e-2, optimizer: "sgd", state: "stopped" },
  { lr: null, optimizer: "lion", state: "running" },
];
const columns: Column[] = [
  { key: "lr", text: (r) => String(rows[r]!.lr), number: (r) => rows[r]!.lr },
  { key: "optimizer", searched: true, text: (r) => rows[r]!.optimizer },
  { key: "state", searched: true, text: (r) => rows[r]!.state },
];
const matches = (q: string) => {
  const filter = compile(q, columns);
  return rows.map((_, i) => i).filter((i) => filter.test(i));
};

test("words, comparisons, ranges and lists of options", () => {
  assert.deepEqual(matches("running"), [0, 2]);
  assert.deepEqual(matches("lr<1e-3"), [0]);
  assert.deepEqual(matches("lr>=0.01"), [1]);
  assert.deepEqual(matches("lr=1e-5..1e-3"), [0]);
  assert.deepEqual(matches("lr=..1"), [0, 1]);
  assert.deepEqual(matches("optimizer=adamw,lion"), [0, 2]);
  assert.deepEqual(matches("optimizer!=sgd state=running"), [0, 2]);
  assert.deepEqual(matches('"adamw"'), [0]);
  assert.deepEqual(matches(""), [0, 1, 2]);
});

test("what is missing matches no comparison of order", () => {
  assert.deepEqual(matches("lr>0"), [0, 1]);
});

test("what cannot be asked is said, and filters nothing", () => {
  assert.match(compile("nosuch<3", columns).problem, /no column "nosuch"/);
  assert.match(compile("lr<abc", columns).problem, /"abc" is no number/);
  assert.deepEqual(matches("nosuch<3"), [0, 1, 2]);
});

test("a brush is text: it replaces what the query said of its column, and reads back as the same range", () => {
  const q = withTerm("state=running lr<1e-3", "lr", rangeTerm("lr", 0.00012345, 0.0098765));
  assert.equal(q, "state=running lr=0.0001234..0.009877");
  assert.deepEqual(ranges(q).get("lr"), [0.0001234, 0.009877]);
  assert.equal(withTerm(q, "lr", null), "state=running");
  assert.deepEqual(options("optimizer=adamw,sgd").get("optimizer"), ["adamw", "sgd"]);
});

test("the ends of a brush are rounded outwards, also below zero, and may be open", () => {
  for (const [lo, hi] of [
    [0.123456, 0.654321],
    [-7.77777, -0.001234567],
    [123456, 987654],
  ] as const) {
    const [from, to] = ranges(rangeTerm("x", lo, hi)).get("x")!;
    assert.ok(from <= lo && to >= hi, `${from} ${lo} ${to} ${hi}`);
  }
  assert.equal(rangeTerm("x", Number.NEGATIVE_INFINITY, 2), "x=..2");
  assert.deepEqual(ranges("x=3..").get("x"), [3, Number.POSITIVE_INFINITY]);
});

test("comparisons of one column add up to one range", () => {
  assert.deepEqual(ranges("lr>1e-4 lr<1e-2").get("lr"), [1e-4, 1e-2]);
});

test("anything at all can be typed", () => {
  for (const q of ["<", "=", "a=", '"', 'a="b c', "..", "lr=..", "x".repeat(1000)]) assert.ok(Array.isArray(parse(q)));
});
