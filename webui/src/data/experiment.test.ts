import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeCurves } from "./curves.ts";
import { ExperimentData } from "./experiment.ts";
import type { Stream, Subscriber } from "./stream.ts";
import type { Experiment, Message, WireColumns } from "./types.ts";

const settled = () => new Promise<void>((done) => setImmediate(done));

const columns = (units: number): WireColumns => ({
  id: [11],
  state: { codes: [0], values: ["RUNNING"] },
  units: [units],
  best: [0.5],
  latest: [0.5],
  bestUnits: [1],
  checkpoints: [0],
  restarts: [0],
  startedAt: [100],
  endedAt: [null],
  end: { codes: [0], values: [""] },
});

/** A master whose answers are of the versions given, and the addresses that were asked for. */
function master(versions: { info: number; trials: number; curves: number }) {
  const asked: string[] = [];
  globalThis.fetch = async (input) => {
    const what = String(input).includes("/trials?") ? "trials" : String(input).includes("/curves?") ? "curves" : "info";
    asked.push(what);
    const headers = { etag: `"run-${versions[what]}"` };
    if (what === "curves") {
      return new Response(encodeCurves([{ id: 11, x: [1], y: [0.5] }], 1), { headers });
    }
    const name = `of ${versions.info}`;
    const answer = what === "info" ? { name, smallerIsBetter: true } : { count: 1, columns: columns(1), hparams: [] };
    return new Response(JSON.stringify({ seq: versions[what], ...answer }), { headers });
  };
  const stream = {
    master: "run1",
    subscribe: (_: string, subscriber: Subscriber) => {
      subscriber.opened(false);
      return () => {};
    },
  } as unknown as Stream;
  return { asked, stream };
}

test("a message is news for what has no gap before it, and only what has one is read anew", async () => {
  const versions = { info: 7, trials: 5, curves: 7 };
  const { asked, stream } = master(versions);
  const data = new ExperimentData(2);
  data.wantCurves();
  const end = data.follow(stream);
  await settled();
  assert.deepEqual(asked.sort(), ["curves", "info", "trials"]);
  let told: unknown[] = [];
  data.onPoints.add((points) => {
    told = points;
  });
  let missed = 0;
  data.watchers.add({ changed: () => {}, missed: () => missed++ });
  asked.length = 0;
  Object.assign(versions, { info: 8, trials: 8, curves: 8 });
  const message: Message = {
    topic: "exp:2",
    since: 6,
    seq: 8,
    experiment: { name: "told" } as Partial<Experiment>,
    trials: { columns: columns(2), count: 1 },
    points: [[11, 2, 0.25]],
    last: 4,
  };
  data.message(message);
  await settled();
  assert.deepEqual(asked, ["trials"]);
  assert.equal(missed, 1);
  assert.deepEqual(told, [[11, 2, 0.25]]);
  assert.equal(data.info.value.state === "ready" && data.info.value.value.name, "told");
  assert.equal(data.lastEvent.value, 4);
  end();
});
