import assert from "node:assert/strict";
import { test } from "node:test";
import { extent, quantile, scale, ticks, wantsLog } from "./scales.ts";

test("a scale and its inverse agree, linear and logarithmic", () => {
  for (const kind of ["lin", "log"] as const) {
    const s = scale(kind, 1, 1000, 300, 10);
    assert.equal(s(1), 300);
    assert.ok(Math.abs(s(1000) - 10) < 1e-9);
    for (const v of [1, 2, 50, 999]) assert.ok(Math.abs(s.invert(s(v)) - v) < 1e-6);
  }
});

test("a logarithmic scale places what is not positive at its end instead of nowhere", () => {
  const s = scale("log", 0.1, 10, 0, 100);
  assert.ok(Number.isFinite(s(0)));
  assert.ok(Number.isFinite(s(-3)));
});

test("ticks are round, inside, and several even when less than a decade is seen", () => {
  assert.deepEqual(ticks("lin", 0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(ticks("log", 1, 1000, 5), [1, 10, 100, 1000]);
  const few = ticks("log", 0.26, 2.2, 5);
  assert.ok(few.length >= 3, String(few));
  assert.ok(few.every((t) => t >= 0.26 && t <= 2.2));
  assert.ok(ticks("log", 0.26, 0.3, 5).length >= 2);
});

test("an axis is logarithmic for what is even on it, not for what merely has a tiny least value", () => {
  const even = Array.from({ length: 200 }, (_, i) => i / 200 + 1e-5);
  const logEven = Array.from({ length: 200 }, (_, i) => 10 ** (-5 + (4 * i) / 200));
  assert.equal(wantsLog(even), false);
  assert.equal(wantsLog(logEven), true);
  assert.equal(wantsLog([32, 64, 128, 256, 512]), true);
  assert.equal(wantsLog([0, 1, 100]), false);
  assert.equal(wantsLog([null, null]), false);
});

test("quantiles and extents leave out what is missing", () => {
  assert.equal(quantile([1, 2, 3, 4, 5], 0.5), 3);
  assert.deepEqual(extent([null, 3, Number.NaN, -1]), [-1, 3]);
  assert.equal(extent([null]), null);
});
