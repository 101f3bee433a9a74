import assert from "node:assert/strict";
import { test } from "node:test";
import { LogLines, type WantedLines } from "./logLines.ts";
import type { Stream, Subscriber } from "./stream.ts";
import type { LogLine, Message } from "./types.ts";

const settled = () => new Promise<void>((done) => setImmediate(done));
const line = (id: number, trial = 1, text = "", level = ""): LogLine => ({ trial, id, time: id, level, text });
const told = (since: number, ...lines: LogLine[]): Message => ({
  topic: "logs:2",
  since,
  seq: lines.at(-1)?.id ?? since,
  lines,
});

/** A master with a log, and the times that it was asked. */
function master(lines: LogLine[], last: number) {
  const here = { lines, last, asked: 0 };
  let subscriber: Subscriber | null = null;
  globalThis.fetch = async () => {
    here.asked++;
    return new Response(JSON.stringify({ lines: here.lines, searched: 1, trials: 1, last: here.last }));
  };
  const stream = {
    subscribe: (_: string, it: Subscriber) => {
      subscriber = it;
      it.opened(false);
      return () => {};
    },
  } as unknown as Stream;
  return { here, stream, tell: (m: Message) => subscriber!.message(m) };
}

const wanted = (more: Partial<WantedLines> = {}): WantedLines => ({
  experiment: 2,
  trials: null,
  level: "",
  find: "",
  ...more,
});

function ids(log: LogLines): number[] {
  assert.equal(log.lines.value.state, "ready");
  return log.lines.value.state === "ready" ? log.lines.value.value.map((l) => l.id) : [];
}

test("lines are read once, and those that come are added whichever trial they are of", async () => {
  const { here, stream, tell } = master([line(1), line(3, 2)], 3);
  const log = new LogLines(wanted(), "logs:2");
  const end = log.follow(stream);
  // Told while they are read, and known by then.
  tell(told(2, line(3, 2)));
  await settled();
  tell(told(3, line(4, 9)));
  tell(told(4, line(6, 1)));
  assert.deepEqual(ids(log), [1, 3, 4, 6]);
  assert.equal(here.asked, 1);
  end();
});

test("lines that were not told are read, and what is not wanted is not shown", async () => {
  const { here, stream, tell } = master([line(1, 1, "an Error"), line(2, 3, "error")], 2);
  const log = new LogLines(wanted({ trials: [1, 3], find: "error" }), "logs:2");
  const end = log.follow(stream);
  await settled();
  tell(told(2, line(3, 2, "error"), line(4, 1, "fine"), line(5, 1, "error too")));
  assert.deepEqual(ids(log), [1, 2, 5]);
  Object.assign(here, { lines: [...here.lines, line(5, 1, "error too"), line(8, 3, "error"), line(9, 1, "error")] });
  here.last = 9;
  tell(told(8, line(9, 1, "error")));
  await settled();
  assert.deepEqual(ids(log), [1, 2, 5, 8, 9]);
  assert.equal(here.asked, 2);
  end();
});

test("of lines that were shown before, those are shown that are wanted still, until all are read", async () => {
  const before = [line(1, 1, "epoch"), line(2, 1, "error", "LOG_LEVEL_ERROR")];
  const { stream } = master([line(2, 1, "error", "LOG_LEVEL_ERROR"), line(7, 3, "error")], 7);
  const log = new LogLines(wanted({ find: "err" }), "logs:2", before);
  assert.deepEqual(ids(log), [2]);
  assert.equal(log.searched.value, null);
  const end = log.follow(stream);
  await settled();
  assert.deepEqual(ids(log), [2, 7]);
  assert.equal(new LogLines(wanted({ find: "none" }), "logs:2", before).lines.value.state, "loading");
  end();
});
