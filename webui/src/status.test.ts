import assert from "node:assert/strict";
import { test } from "node:test";
import { ramp } from "./palette.ts";
import { experimentStatus, experimentWord, isOver, isStopping, trialStatus } from "./status.ts";

test("every state has one word", () => {
  assert.equal(trialStatus("STATE_RUNNING", ""), "running");
  assert.equal(trialStatus("COMPLETED", "stopped"), "stopped");
  assert.equal(trialStatus("COMPLETED", "completed"), "completed");
  assert.equal(trialStatus("ERROR", "invalidHp"), "errored");
  assert.equal(trialStatus("ACTIVE", ""), "waiting");
  assert.equal(experimentStatus("STATE_ACTIVE"), "running");
  assert.equal(experimentWord("STOPPING_CANCELED"), "stopping");
  assert.equal(isStopping("STATE_STOPPING_KILLED"), true);
  assert.equal(isOver("STOPPING_KILLED"), false);
  assert.equal(isOver("STATE_ERROR"), true);
});

test("a ramp begins and ends with its stops", () => {
  const colours = ramp(["#000000", "#808080", "#ffffff"], 5);
  assert.equal(colours[0], "rgb(0,0,0)");
  assert.equal(colours[2], "rgb(128,128,128)");
  assert.equal(colours[4], "rgb(255,255,255)");
});
