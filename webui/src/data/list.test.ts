import assert from "node:assert/strict";
import { test } from "node:test";
import { ExperimentListData } from "./list.ts";
import type { Stream, Subscriber } from "./stream.ts";
import type { ExperimentRow } from "./types.ts";

const settled = () => new Promise<void>((done) => setImmediate(done));

test("no experiment is lost or doubled when others come and go while a long list is read", async () => {
  const there = new Set(Array.from({ length: 1200 }, (_, i) => i + 1));
  let subscriber: Subscriber | null = null;
  const changes = [
    () => {
      // Those that come later would move all pieces on by one, and those that go would move them back.
      there.add(1201);
      subscriber?.message({ topic: "experiments", experiments: [{ id: 1201 } as ExperimentRow], removed: [] });
    },
    () => {
      for (const id of [1150, 900, 100]) there.delete(id);
      subscriber?.message({ topic: "experiments", experiments: [], removed: [1150, 900, 100] });
    },
  ];
  globalThis.fetch = async (input) => {
    await settled();
    const query = new URL(String(input), "http://master").searchParams;
    const before = Number(query.get("before") ?? Number.POSITIVE_INFINITY);
    const newest = [...there].filter((id) => id < before).sort((a, b) => b - a);
    const start = Number(query.get("offset") ?? 0);
    const piece = newest.slice(start, start + Number(query.get("limit")));
    changes.shift()?.();
    return new Response(JSON.stringify({ total: newest.length, counts: {}, experiments: piece.map((id) => ({ id })) }));
  };
  const data = new ExperimentListData();
  const stream = {
    subscribe: (_: string, it: Subscriber) => {
      subscriber = it;
      return () => {};
    },
  } as unknown as Stream;
  data.follow(stream);
  for (let n = 0; n < 20; n++) await settled();
  const shown = data.rows.value.state === "ready" ? data.rows.value.value.map((row) => row.id) : [];
  assert.deepEqual(
    shown.sort((a, b) => a - b),
    [...there].sort((a, b) => a - b),
  );
});
