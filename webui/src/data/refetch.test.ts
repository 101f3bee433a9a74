import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { ApiError } from "./api.ts";
import { behind, Refetcher } from "./refetch.ts";

const settled = () => new Promise<void>((done) => setImmediate(done));

test("one request at a time, one after the last change, and calmly", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  let [asked, answer] = [0, () => {}];
  const refetcher = new Refetcher(() => {
    asked++;
    return new Promise((done) => {
      answer = done;
    });
  }, 1000);
  refetcher.now(true);
  assert.equal(behind.value, 0);
  for (let n = 0; n < 5; n++) refetcher.soon();
  assert.equal(asked, 1);
  answer();
  await settled();
  assert.equal(asked, 1);
  mock.timers.tick(1100);
  assert.equal(asked, 2);
  answer();
  await settled();
  mock.timers.tick(60_000);
  assert.equal(asked, 2);
  mock.timers.reset();
});

test("what may be old is behind until it was fetched after that, and a failure is tried again", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  let [asked, fails] = [0, true];
  const refetcher = new Refetcher(async () => {
    asked++;
    if (fails) throw new ApiError(503, "", "");
  });
  refetcher.now();
  refetcher.now();
  await settled();
  assert.equal(behind.value, 1);
  assert.equal(asked, 2);
  mock.timers.tick(2000);
  await settled();
  assert.equal(asked, 3);
  assert.equal(behind.value, 1);
  fails = false;
  mock.timers.tick(4000);
  await settled();
  assert.equal(asked, 4);
  assert.equal(behind.value, 0);
  refetcher.now();
  refetcher.stop();
  assert.equal(behind.value, 0);
  await settled();
  mock.timers.reset();
});
