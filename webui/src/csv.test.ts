import assert from "node:assert/strict";
import { test } from "node:test";
import { csvCell, toCsv } from "./csv.ts";

test("texts that would be formulas are made texts", () => {
  for (const text of ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "＝1+1", "-", "=", "-Infinity", "+e5"])
    assert.equal(csvCell(text), `'${text}`);
  assert.equal(csvCell(" =1+1"), "' =1+1");
  assert.equal(csvCell("\t=1"), `"'\t=1"`);
  assert.equal(csvCell("\rx"), `"'\rx"`);
  assert.equal(csvCell('=HYPERLINK("http://x","y")'), `"'=HYPERLINK(""http://x"",""y"")"`);
  assert.equal(csvCell(Number.NEGATIVE_INFINITY), "'-Infinity");
});

test("numbers stay numbers, also as texts", () => {
  assert.equal(csvCell(-0.5), "-0.5");
  assert.equal(csvCell(1e-7), "1e-7");
  for (const text of ["-0.5", "+3", "-1e-3", ".5", "-.5", "7."]) assert.equal(csvCell(text), text);
});

test("other texts are quoted where they must be", () => {
  assert.equal(csvCell("adam"), "adam");
  assert.equal(csvCell("a-b=c"), "a-b=c");
  assert.equal(csvCell('say "x", y'), '"say ""x"", y"');
  assert.equal(csvCell("two\nlines"), '"two\nlines"');
  assert.equal(csvCell("a;b"), '"a;b"');
  assert.equal(csvCell(null), "");
  assert.equal(csvCell(""), "");
});

test("a table has a line for each row", () => {
  assert.equal(
    toCsv([
      ["id", "=x"],
      [1, null],
    ]),
    "id,'=x\r\n1,\r\n",
  );
});
