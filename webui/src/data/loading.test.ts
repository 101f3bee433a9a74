import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError } from "./api.ts";
import { fetchInto, LOADING, type Loadable, mayPass } from "./loading.ts";

const ready: Loadable<number> = { state: "ready", value: 1 };

async function shownAfter(old: Loadable<number>, failure: ApiError): Promise<[Loadable<number>, boolean]> {
  let shown = old;
  let again = false;
  const fetching = fetchInto<number>(
    (change) => {
      shown = change(shown);
    },
    () => Promise.reject(failure),
  );
  await fetching.catch(() => {
    again = true;
  });
  return [shown, again];
}

test("what was shown stays while a failure may pass, and no longer", async () => {
  const [busy, gone] = [new ApiError(503, "", ""), new ApiError(404, "", "")];
  assert.deepEqual(await shownAfter(ready, busy), [ready, true]);
  assert.deepEqual(await shownAfter(LOADING, busy), [{ state: "failed", error: busy }, true]);
  assert.deepEqual(await shownAfter(ready, gone), [{ state: "failed", error: gone }, false]);
});

test("what is gone or not allowed is not asked for again", () => {
  const passes = [0, 429, 500, 503].map((status) => mayPass(new ApiError(status, "", "")));
  assert.deepEqual(passes, [true, true, true, true]);
  assert.equal(mayPass(new ApiError(404, "", "")), false);
  assert.equal(mayPass(new TypeError("ours")), false);
});
