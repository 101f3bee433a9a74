import assert from "node:assert/strict";
import { test } from "node:test";
import { Pace } from "./pace.ts";

test("a pace is that of the last minute, and falls while nothing comes", () => {
  const pace = new Pace();
  assert.equal(pace.at(100), null);
  pace.begin(100);
  for (let at = 101; at <= 200; at++) pace.add(at, 2);
  assert.equal(pace.at(200), 120);
  assert.equal(pace.at(230), 60);
  assert.equal(pace.at(259), 2);
  assert.equal(pace.at(260), 0);
});

test("a pace is known after some seconds, and is not that of a time in which nobody watched", () => {
  const pace = new Pace();
  pace.begin(0);
  pace.add(1, 10);
  assert.equal(pace.at(4), null);
  assert.equal(pace.at(10), 60);
  pace.end();
  assert.equal(pace.at(20), null);
  pace.begin(20);
  assert.equal(pace.at(30), 0);
});
