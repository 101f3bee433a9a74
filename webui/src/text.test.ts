import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, count, duration, int, length, num, size, value } from "./format.ts";
import { digits, grouping } from "./numbers.ts";

test("numbers have four significant digits, and an exponent where they are small or large", () => {
  const cases: [number | null, string][] = [
    [0.26051, "0.2605"],
    [5.3249e-4, "5.32e−4"],
    [1e-5, "1e−5"],
    [-0.5, "−0.5"],
    [12345.6, "12,346"],
    [2.5e9, "2.5e9"],
    [0, "0"],
    [null, "–"],
    [Number.NaN, "–"],
    [Number.NEGATIVE_INFINITY, "−∞"],
  ];
  for (const [given, wanted] of cases) assert.equal(num(given), wanted);
  assert.equal(int(1234567), "1,234,567");
});

test("numbers are written as somebody chose", () => {
  digits.value = "all";
  grouping.value = "none";
  assert.equal(num(0.123456789), "0.123456789");
  assert.equal(num(1234.56789), "1234.56789");
  assert.equal(num(5.3249e-4), "5.3249e−4");
  digits.value = "6";
  grouping.value = "space";
  assert.equal(num(0.123456789), "0.123457");
  assert.equal(num(1234567), "1\u202f234\u202f567");
  assert.equal(num(5.32491e-4), "5.3249e−4");
  assert.equal(num(1234.5678), "1\u202f234.57");
  digits.value = "3";
  assert.equal(num(123.456), "123");
  assert.equal(num(0.26051), "0.261");
  digits.value = "4";
  grouping.value = "comma";
});

test("words agree with their numbers", () => {
  assert.equal(count(1, "trial"), "1 trial");
  assert.equal(count(2000, "trial"), "2,000 trials");
  assert.equal(length(1, "epochs"), "1 epoch");
  assert.equal(length(1, "batches"), "1 batch");
  assert.equal(length(16, "epochs"), "16 epochs");
  assert.equal(length(3, ""), "3");
});

test("durations and ages show the two units that matter", () => {
  assert.equal(duration(59), "59s");
  assert.equal(duration(61), "1m 01s");
  assert.equal(duration(7265), "2h 01m");
  assert.equal(duration(90000), "1d 01h");
  assert.equal(duration(null), "–");
  assert.equal(ago(100, 110), "just now");
  assert.equal(ago(0, 7200), "2 h ago");
});

test("sizes and values of any kind", () => {
  assert.equal(size(999), "999 B");
  assert.equal(size(1_500_000), "1.5 MB");
  assert.equal(value({ a: 1 }), '{"a":1}');
  assert.equal(value("adamw"), "adamw");
});
