import assert from "node:assert/strict";
import { test } from "node:test";
import { minMax } from "./downsample.ts";
import { BUCKETS, merit, sampleByMerit } from "./merit.ts";

test("merit goes by rank: a diverged value changes nothing for the others", () => {
  const calm = merit([3, 1, 2, 4], true);
  const wild = merit([3, 1, 2, 4e30], true);
  assert.deepEqual(calm.bucket, wild.bucket);
  assert.deepEqual([...calm.order], [3, 0, 2, 1]);
  assert.equal(calm.bucket[1], BUCKETS - 1);
  assert.equal(calm.bucket[3], 0);
});

test("with greater values better the order turns, and missing ones have no place", () => {
  const { order } = merit([0.5, null, 0.9, Number.NaN], false);
  assert.deepEqual([...order], [0, 2]);
});

test("a sample keeps all of the best and reaches to the worst", () => {
  const { order } = merit(
    Array.from({ length: 1000 }, (_, i) => i),
    true,
  );
  const sample = sampleByMerit(order, 100);
  assert.equal(sample.length, 100);
  assert.equal(new Set(sample).size, 100);
  for (let best = 0; best < 40; best++) assert.ok(sample.includes(best));
  assert.ok(sample.includes(999));
});

test("downsampling keeps both ends and every extreme", () => {
  const x = Array.from({ length: 5000 }, (_, i) => i);
  const y = x.map((i) => (i === 2500 ? 99 : Math.sin(i)));
  const [dx, dy] = minMax(x, y, 200);
  assert.ok(dx.length <= 200);
  assert.equal(dx[0], 0);
  assert.equal(dx.at(-1), 4999);
  assert.ok(dy.includes(99));
  assert.deepEqual(
    dx,
    [...dx].sort((a, b) => a - b),
  );
  assert.deepEqual(minMax([1, 2], [3, 4], 200), [
    [1, 2],
    [3, 4],
  ]);
});
