import assert from "node:assert/strict";
import { test } from "node:test";
import { bestSoFar } from "./bestSoFar.ts";
import { addPoints, decodeCurves, encodeCurves } from "./curves.ts";
import { diffLines } from "./diff.ts";
import { aboutTrial, mergeDecisions } from "./experiment.ts";
import { importance } from "./importance.ts";
import { mergeRows } from "./list.ts";
import { catchUp, isAtLeast, mergeLines, trialsNamed } from "./logs.ts";
import { answers, markOf } from "./sentences.ts";
import { backoff } from "./stream.ts";
import { experimentOf, isWaiting, trialOf } from "./tasks.ts";
import { applyDelta, bestRow, fromSnapshot, tally, varying } from "./trials.ts";
import type { Decision, ExperimentRow, Operation, WireTrials } from "./types.ts";
import { unfold } from "./unfold.ts";

const snapshot = (): WireTrials => ({
  seq: 5,
  count: 2,
  columns: {
    id: [11, 12],
    state: { codes: [0, 1], values: ["RUNNING", "COMPLETED"] },
    units: [3, 16],
    best: [0.5, 0.4],
    latest: [0.5, 0.45],
    bestUnits: [3, 15],
    checkpoints: [1, 2],
    restarts: [0, 0],
    startedAt: [100, 90],
    endedAt: [null, 200],
    end: { codes: [0, 1], values: ["", "stopped"] },
  },
  hparams: [
    { name: "lr", kind: "number", values: [0.1, 0.2] },
    { name: "optimizer", kind: "category", codes: [0, -1], values: ["adam"] },
    { name: "seed", kind: "number", values: [7, 7] },
  ],
});

test("a snapshot becomes a table: how a trial ended says more than its state", () => {
  const table = fromSnapshot(snapshot());
  assert.deepEqual(table.status, ["running", "stopped"]);
  assert.equal(table.row.get(12), 1);
  assert.deepEqual(
    varying(table).map((h) => h.name),
    ["lr"],
  );
  assert.deepEqual(tally(table), { running: 1, stopped: 1 });
  assert.equal(bestRow(table, true), 1);
  assert.equal(bestRow(table, false), 0);
});

test("a folded table says the same as a plain one", () => {
  const plain = snapshot();
  assert.deepEqual(unfold(plain), plain);
  const [best, lr] = [
    // 5, -4 and nothing; 1234567, 2 and 3: all lowest bytes, all second ones, and so on.
    { whole: btoa("\x05\xfc\0\0\xff\0\0\xff\0\0\xff\0"), powers: [-1, -1, null] },
    { whole: btoa("\x87\x02\x03\xd6\0\0\x12\0\0\0\0\0"), powers: [-10, -30, 2] },
  ];
  const columns = {
    ...plain.columns,
    id: { deltas: [11, 1, 4], per: 1 },
    startedAt: { deltas: [125, 0, 50], per: 100 },
    latest: { like: "best", rows: [1, 1], values: [0.75, null] },
    best,
  };
  const back = unfold({
    ...plain,
    columns: columns as unknown as WireTrials["columns"],
    hparams: [{ name: "lr", kind: "number", values: lr as unknown as number[] }, plain.hparams[1]!],
  });
  assert.deepEqual(back.columns.id, [11, 12, 16]);
  assert.deepEqual(back.columns.startedAt, [1.25, 1.25, 1.75]);
  assert.deepEqual(back.columns.best, [0.5, -0.4, null]);
  assert.deepEqual(back.columns.latest, [0.5, 0.75, null]);
  assert.deepEqual(back.hparams[0]!.values, [1.234567e-4, 2e-30, 300]);
  assert.deepEqual(back.hparams[1], plain.hparams[1]);
});

test("a delta changes its rows only, and adds new trials with their hyperparameters", () => {
  const table = fromSnapshot(snapshot());
  const one = snapshot().columns;
  const columns = {
    ...one,
    id: [12, 13],
    state: { codes: [0, 1], values: ["ERROR", "QUEUED"] },
    units: [17, 0],
    best: [0.3, null],
    end: { codes: [0, 1], values: ["errored", ""] },
  };
  const rows = applyDelta(table, { columns, hparams: [{ name: "lr", kind: "number", values: [0.2, 0.9] }] });
  assert.deepEqual(rows, [1, 2]);
  assert.deepEqual(table.id, [11, 12, 13]);
  assert.deepEqual(table.status, ["running", "errored", "queued"]);
  assert.deepEqual(table.units, [3, 17, 0]);
  assert.deepEqual(table.hparams[0]!.values, [0.1, 0.2, 0.9]);
  assert.deepEqual(table.hparams[1]!.values, ["adam", null, null]);
});

test("a delta may come flat, without the frame of a snapshot", () => {
  const table = fromSnapshot(snapshot());
  assert.deepEqual(applyDelta(table, { id: [11], units: [4] }), [0]);
  assert.equal(table.units[0], 4);
  assert.equal(table.best[0], 0.5);
});

test("a hyperparameter that turns out not to be a number becomes a category", () => {
  const table = fromSnapshot(snapshot());
  applyDelta(table, { id: [13], hparams: [{ name: "lr", kind: "category", codes: [0], values: ["auto"] }] });
  assert.equal(table.hparams[0]!.kind, "category");
  assert.deepEqual(table.hparams[0]!.values, ["0.1", "0.2", "auto"]);
});

test("curves survive the wire, and points that come twice or late change nothing", () => {
  const given = [
    { id: 11, x: [1, 4], y: [0.5, 0.25] },
    { id: 12, x: [1], y: [2] },
  ];
  const curves = decodeCurves(encodeCurves(given, 10), true);
  assert.equal(curves.total, 10);
  assert.deepEqual(curves.byId.get(11)!.y, [0.5, 0.25]);
  assert.equal(curves.byId.get(11)!.best, 0.25);
  const added = addPoints(curves, [[11, 4, 0.25], [11, 8, 0.125], [13, 1, 3]], true); // biome-ignore format: one line
  assert.deepEqual(added, [[11, 8, 0.125], [13, 1, 3]]); // biome-ignore format: one line
  assert.deepEqual(curves.byId.get(11)!.x, [1, 4, 8]);
  assert.equal(curves.byId.get(11)!.best, 0.125);
  assert.equal(curves.list.length, 3);
});

test("a trial that goes on from a checkpoint reports anew what it had reported", () => {
  const bytes = encodeCurves([{ id: 11, x: [1, 2, 3, 4], y: [0.5, 0.4, 0.3, 0.2] }], 1);
  const curves = decodeCurves(bytes, true);
  let rewound = 0;
  const added = addPoints(curves, [[11, 2, 0.4], [11, 3, 0.35]], true, () => rewound++); // biome-ignore format: one line
  assert.deepEqual(added, [[11, 3, 0.35]]);
  assert.deepEqual(curves.byId.get(11)!.x, [1, 2, 3]);
  assert.equal(rewound, 1);
});

test("curves in another form are refused", () => {
  assert.throws(() => decodeCurves(new ArrayBuffer(64), true), /reload/);
});

test("importance finds the hyperparameter that matters, numbers and categories alike", () => {
  const n = 200;
  const noise = (i: number) => ((i * 7919) % 101) / 101;
  const x = Array.from({ length: n }, (_, i) => (i * 37) % n);
  const kind = x.map((_, i) => ["a", "b", "c"][i % 3]!);
  const other = x.map((_, i) => noise(i * 3 + 1));
  const metric = x.map((v, i) => (v - 100) ** 2 / 1000 + (kind[i] === "c" ? 3 : 0) + noise(i) / 10);
  const found = importance(
    [
      { name: "other", kind: "number", values: other },
      { name: "x", kind: "number", values: x },
      { name: "kind", kind: "category", values: kind },
    ],
    metric,
  );
  assert.deepEqual(
    found.map((f) => f.name),
    ["x", "kind", "other"],
  );
  assert.ok(found[2]!.share < 0.05);
});

const row = (id: number, state = "ACTIVE") => ({ id, state, name: `e${id}` }) as ExperimentRow;

test("changed rows take their places, new ones are added", () => {
  const merged = mergeRows([row(1), row(2)], [row(2, "PAUSED"), row(3), row(3, "ERROR")]);
  assert.deepEqual(
    merged.map((r) => [r.id, r.state]),
    [
      [1, "ACTIVE"],
      [2, "PAUSED"],
      [3, "ERROR"],
    ],
  );
});

const decision = (event: number, said = ""): Decision => ({
  number: event,
  event,
  at: event,
  kind: "",
  trial: 1,
  said,
  operations: [],
});

test("decisions are told once, newest first, up to a limit", () => {
  const merged = mergeDecisions([decision(3), decision(2, "new")], [decision(2, "old"), decision(1)], 2);
  assert.deepEqual(
    merged.map((d) => [d.event, d.said]),
    [
      [3, ""],
      [2, "new"],
    ],
  );
});

test("of the decisions that are told, those about a trial tell what is about it first", () => {
  const about = (event: number, cause: number, ...trials: number[]): Decision => ({
    ...decision(event),
    trial: cause,
    operations: trials.map((trial) => operation("ValidateAfter", trial)),
  });
  const told = [about(4, 1, 2, 3), about(3, 7), about(2, 1, 1, 2, 3, 4, 5, 6, 7, 8, 7)];
  assert.deepEqual(
    aboutTrial(told, 7)!.map((d) => [d.event, d.operations.map((o) => o.trial)]),
    [
      [3, []],
      [2, [7, 7, 1, 2, 3, 4, 5, 6, 8]],
    ],
  );
  assert.equal(aboutTrial([{ ...about(5, 1, 2), more: 3 }], 7), null);
});

const operation = (kind: string, trial: number | null, length: number | null = null, reason = ""): Operation => ({
  kind,
  trial,
  length,
  reason,
  numbers: {},
});

test("answers are told in words, a line for each trial, whichever spelling the kinds have", () => {
  const told = answers(
    [
      operation("ValidateAfter", 7, 4, "rank 1 of 9"),
      operation("createTrial", 8, null, "a slot is free"),
      operation("validateAfter", 8, 1, "a slot is free"),
      operation("shutDown", null),
    ],
    "epochs",
  );
  assert.deepEqual(told, [
    { text: "#7 trains to 4 epochs", why: "rank 1 of 9" },
    { text: "#8 is created, trains to 1 epoch", why: "a slot is free" },
    { text: "the search ends", why: "" },
  ]);
});

test("a decision's mark is what it did to the trial that it is about", () => {
  const of = (operations: Operation[]) => markOf({ ...decision(1), trial: 7, operations });
  assert.equal(of([operation("ValidateAfter", 7, 4)]), "onward");
  assert.equal(of([operation("Close", 7), operation("Create", 8), operation("ValidateAfter", 8, 1)]), "closed");
  assert.equal(of([operation("Create", 8)]), "created");
  assert.equal(of([operation("Close", 7), operation("Shutdown", null)]), "over");
  assert.equal(of([]), "quiet");
});

test("log lines from both sides make one log", () => {
  const line = (id: number, trial = 1, time: number | null = null) => ({
    trial,
    id,
    time,
    level: "",
    text: String(id),
  });
  const merged = mergeLines([line(1), line(2), line(4)], [line(2), line(3), line(5)], 4);
  assert.deepEqual(
    merged.map((l) => l.id),
    [2, 3, 4, 5],
  );
  // Of several trials, by time; they are numbered as they came.
  const several = mergeLines([line(1, 7, 10), line(3, 7, 30)], [line(5, 8, 20), line(3, 7, 30), line(4, 8, 40)], 9);
  assert.deepEqual(
    several.map((l) => l.id),
    [1, 5, 3, 4],
  );
  assert.deepEqual(
    mergeLines(several, [line(4, 8, 40), line(6, 8, 50)], 9).map((l) => l.id),
    [1, 5, 3, 4, 6],
  );
});

test("lines that are read anew join those that are known, or take their place where some may lie between", () => {
  const line = (id: number) => ({ trial: 1, id, time: null, level: "", text: "" });
  const ids = (last: number, read: number[]) =>
    catchUp([line(1), line(2)], last, read.map(line), 3, 9).map((l) => l.id);
  assert.deepEqual(ids(2, [2, 3, 4]), [1, 2, 3, 4]);
  // There were others, which were not wanted.
  assert.deepEqual(ids(5, [4, 7, 8]), [1, 2, 4, 7, 8]);
  assert.deepEqual(ids(5, [6, 7, 8]), [6, 7, 8]);
  assert.deepEqual(ids(5, [6, 7]), [1, 2, 6, 7]);
});

test("trials whose logs are shown are named by numbers and ranges", () => {
  assert.deepEqual(trialsNamed("3, 7 5-6"), [3, 5, 6, 7]);
  assert.deepEqual(trialsNamed(""), null);
  assert.deepEqual(trialsNamed("all"), null);
  assert.equal(trialsNamed("1-100000")!.length, 300);
  assert.equal(isAtLeast("LOG_LEVEL_ERROR", "WARNING"), true);
  assert.equal(isAtLeast("LOG_LEVEL_UNSPECIFIED", "WARNING"), false);
  assert.equal(isAtLeast("LOG_LEVEL_UNSPECIFIED", ""), true);
});

test("waits grow to a limit, and differ between tabs", () => {
  assert.ok(backoff(0, 0.5) <= 1000);
  assert.equal(backoff(30, 0.5), 15_000);
  assert.notEqual(backoff(3, 0), backoff(3, 1));
});

test("differences of texts, line by line", () => {
  const told = diffLines("a\nb\nc\nd", "a\nc\nx\nd").map((l) => l.kind[0] + l.text);
  assert.deepEqual(told, ["sa", "rb", "sc", "ax", "sd"]);
  assert.ok(diffLines("same", "same").every((l) => l.kind === "same"));
});

test("best so far steps down with the trials, and over work counts what was spent", () => {
  const table = fromSnapshot(snapshot());
  assert.deepEqual(bestSoFar(table, true, "trials", null), { x: [1, 2], y: [0.5, 0.4] });
  assert.deepEqual(bestSoFar(table, true, "work", null).x, [3, 19]);
});

test("tasks name their experiment and trial", () => {
  assert.equal(experimentOf({ taskId: "12.abc", name: "" }), 12);
  assert.equal(trialOf({ name: "Trial 7 (Experiment 3)" }), 7);
  assert.equal(isWaiting({ state: "STATE_QUEUED" }), true);
});
