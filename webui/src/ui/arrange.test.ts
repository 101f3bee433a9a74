import assert from "node:assert/strict";
import { test } from "node:test";
import { arrange, fitting, isMoving, leastWidth, readSort, type TableColumn, writeSort } from "./arrange.ts";

const values = [3, null, 1, 2];
const names = ["b10", "b9", "a", "c"];
const columns: TableColumn[] = [
  {
    key: "v",
    title: "v",
    width: "minmax(90px, 1fr)",
    text: (r) => String(values[r]),
    number: (r) => values[r]!,
    cell: () => "",
  },
  { key: "n", title: "n", width: "60px", drop: 1, searched: true, text: (r) => names[r]!, cell: () => "" },
];
const by = (key: string, descending: boolean, query = "") => arrange(4, columns, query, { key, descending });

test("numbers are sorted both ways, and what is missing stays last", () => {
  assert.deepEqual(by("v", false), [2, 3, 0, 1]);
  assert.deepEqual(by("v", true), [0, 3, 2, 1]);
});

test("texts are sorted as people count", () => {
  assert.deepEqual(by("n", false), [2, 1, 0, 3]);
});

test("a filter and a test of rows both apply", () => {
  assert.deepEqual(
    arrange(4, columns, "v>=2", { key: "v", descending: false }, (r) => r !== 3),
    [0],
  );
});

test("how it is sorted goes into the address and comes back", () => {
  const sort = { key: "lr", descending: true };
  assert.equal(writeSort(sort), "-lr");
  assert.deepEqual(readSort("-lr", { key: "id", descending: false }), sort);
  assert.equal(readSort(null, sort), sort);
});

test("columns that may go are left out where there is no room", () => {
  assert.equal(leastWidth("minmax(90px, 1fr) 60px"), 28 + 150);
  assert.equal(fitting(columns, 1000).length, 2);
  assert.equal(fitting(columns, 170).length, 1);
  assert.equal(fitting(columns, 10).length, 1);
});

test("what the clock changes moves rows where it is sorted by or asked for", () => {
  const moving = columns.map((c) => ({ ...c, moves: c.key === "v" }));
  const [byValue, byName] = ["v", "n"].map((key) => ({ key, descending: false }));
  assert.equal(isMoving(moving, "", byValue!), true);
  assert.equal(isMoving(moving, "", byName!), false);
  assert.equal(isMoving(moving, "v>=2", byName!), true);
  assert.equal(isMoving(columns, "v>=2", byValue!), false);
});
