import assert from "node:assert/strict";
import { test } from "node:test";
import { inOrder } from "./order.ts";

test("rows come in the order of their keys, equal ones as they were, and missing ones last", () => {
  const rows = [10, 11, 12, 13, 14, 15];
  const keys = () => Float64Array.of(2, Number.NaN, -1, 2, 0, Number.POSITIVE_INFINITY);
  assert.deepEqual(inOrder(rows, keys(), false), [12, 14, 10, 13, 15, 11]);
  assert.deepEqual(inOrder(rows, keys(), true), [15, 10, 13, 14, 12, 11]);
  assert.deepEqual(inOrder([7, 8], Float64Array.of(0, -0), true), [7, 8]);
  assert.deepEqual(inOrder([], new Float64Array(), true), []);
});

test("many rows are in the order that comparing them two by two gives", () => {
  const keys = Float64Array.from({ length: 3000 }, (_, i) => (i % 17 ? (i * 7919) % 257 : Number.NaN));
  const rows = Array.from(keys, (_, i) => i);
  const missing = (r: number) => Number(Number.isNaN(keys[r]!));
  for (const descending of [false, true]) {
    const sign = descending ? -1 : 1;
    const slow = [...rows].sort(
      (a, b) => missing(a) - missing(b) || (missing(a) ? a - b : sign * (keys[a]! - keys[b]!) || a - b),
    );
    assert.deepEqual(inOrder(rows, keys.slice(), descending), slow);
  }
});
