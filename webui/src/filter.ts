/**
 * The filter of a table: words, and comparisons with columns. `lr<1e-3 optimizer=adamw,sgd state=running`.
 *
 * A range is `lr=1e-4..1e-2`; that is also what a brush on a chart writes, so a brush is always text in the box and in
 * the address, and whoever cannot drag can type.
 */

export type Term =
  | { readonly kind: "word"; readonly text: string }
  | { readonly kind: "compare"; readonly column: string; readonly op: Op; readonly text: string }
  | { readonly kind: "range"; readonly column: string; readonly lo: number; readonly hi: number };
export type Op = "=" | "!=" | "<" | "<=" | ">" | ">=";

/** A column that a filter may ask; text() for words and equality, number() for order. */
export interface Column {
  readonly key: string;
  text(row: number): string;
  number?(row: number): number | null;
  readonly searched?: boolean;
}

const TOKEN = /"[^"]*"|[^\s"]+(?:"[^"]*")?/g;
const COMPARE = /^([^<>=!]+)(<=|>=|!=|<|>|=)(.+)$/;
const RANGE = /^(.*\S)?\.\.(\S.*)?$/;

/** The terms of a query; anything that is no comparison is a word. */
export function parse(query: string): Term[] {
  return (query.match(TOKEN) ?? []).map(term);
}

function term(token: string): Term {
  const found = COMPARE.exec(token);
  if (!found) return { kind: "word", text: unquote(token).toLowerCase() };
  const [, column = "", op = "=", raw = ""] = found;
  const range = op === "=" ? RANGE.exec(raw) : null;
  if (range) {
    const lo = range[1] === undefined ? Number.NEGATIVE_INFINITY : Number(range[1]);
    const hi = range[2] === undefined ? Number.POSITIVE_INFINITY : Number(range[2]);
    if (!Number.isNaN(lo) && !Number.isNaN(hi)) return { kind: "range", column, lo, hi };
  }
  return { kind: "compare", column, op: op as Op, text: unquote(raw) };
}

function unquote(text: string): string {
  return text.replaceAll('"', "");
}

/** A test for rows, and what in the query is wrong: a column that is not there, a bound that is no number. */
export interface Filter {
  readonly terms: readonly Term[];
  readonly problem: string;
  test(row: number): boolean;
}

export function compile(query: string, columns: readonly Column[]): Filter {
  const terms = parse(query);
  const byKey = new Map(columns.map((c) => [c.key.toLowerCase(), c]));
  const searched = columns.filter((c) => c.searched);
  let problem = "";
  const tests = terms.map((t): ((row: number) => boolean) => {
    if (t.kind === "word") return (row) => searched.some((c) => c.text(row).toLowerCase().includes(t.text));
    const column = byKey.get(t.column.toLowerCase());
    if (!column) {
      problem ||= `There is no column "${t.column}".`;
      return () => true;
    }
    if (t.kind === "range") return inRange(column, t.lo, t.hi);
    if (t.op === "=" || t.op === "!=") return equals(column, t.op === "=", t.text);
    const bound = Number(t.text);
    if (Number.isNaN(bound)) {
      problem ||= `"${t.text}" is no number.`;
      return () => true;
    }
    return compares(column, t.op, bound);
  });
  return { terms, problem, test: (row) => tests.every((f) => f(row)) };
}

function inRange(column: Column, lo: number, hi: number): (row: number) => boolean {
  return (row) => {
    const v = column.number?.(row);
    return v != null && v >= lo && v <= hi;
  };
}

function equals(column: Column, wanted: boolean, text: string): (row: number) => boolean {
  const options = text.split(",").map((o) => o.toLowerCase());
  const numbers = options.map((o) => (o === "" ? Number.NaN : Number(o)));
  return (row) => {
    const shown = column.text(row).toLowerCase();
    const v = column.number?.(row);
    const same = options.some((o, i) => shown === o || (v != null && v === numbers[i]));
    return same === wanted;
  };
}

function compares(column: Column, op: Op, bound: number): (row: number) => boolean {
  const test = { "<": below, "<=": atMost, ">": above, ">=": atLeast }[op as "<" | "<=" | ">" | ">="];
  return (row) => {
    const v = column.number?.(row);
    return v != null && !Number.isNaN(v) && test(v, bound);
  };
}

const below = (a: number, b: number) => a < b;
const atMost = (a: number, b: number) => a <= b;
const above = (a: number, b: number) => a > b;
const atLeast = (a: number, b: number) => a >= b;

/** The query with one column's terms replaced; null takes them out. */
export function withTerm(query: string, column: string, replacement: string | null): string {
  const kept = (query.match(TOKEN) ?? []).filter((token) => {
    const found = COMPARE.exec(token);
    return !found || found[1]!.toLowerCase() !== column.toLowerCase();
  });
  if (replacement !== null) kept.push(replacement);
  return kept.join(" ");
}

/** What a brush writes: few digits, and rounded outwards so that nothing at its ends is lost. */
export function rangeTerm(column: string, lo: number, hi: number): string {
  return `${column}=${outwards(lo, Math.floor)}..${outwards(hi, Math.ceil)}`;
}

function outwards(v: number, round: (v: number) => number): string {
  if (!Number.isFinite(v)) return "";
  if (v === 0) return "0";
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(v))) - 3);
  return String(Number((round(v / unit) * unit).toPrecision(6)));
}

/** The ranges that a query sets, by column; what brushes are drawn from. */
export function ranges(query: string): Map<string, [number, number]> {
  const out = new Map<string, [number, number]>();
  for (const t of parse(query)) {
    if (t.kind === "range") out.set(t.column, [t.lo, t.hi]);
    else if (t.kind === "compare" && t.op !== "=" && t.op !== "!=") {
      const bound = Number(t.text);
      if (Number.isNaN(bound)) continue;
      const [lo, hi] = out.get(t.column) ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
      out.set(t.column, t.op.startsWith("<") ? [lo, Math.min(hi, bound)] : [Math.max(lo, bound), hi]);
    }
  }
  return out;
}

/** The sets of options that a query asks for, by column. */
export function options(query: string): Map<string, string[]> {
  const out = new Map<string, string[]>();
  for (const t of parse(query)) if (t.kind === "compare" && t.op === "=") out.set(t.column, t.text.split(","));
  return out;
}
