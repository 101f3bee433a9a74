/** The other side of the master's folding: columns of numbers that came in fewer bytes, as plain lists. */

import type { WireTrials } from "./types.ts";

type Numbers = (number | null)[];
type Folded =
  | { deltas: number[]; per: number }
  | { whole: string; powers: (number | null)[] }
  | { like: string; rows: number[]; values: Numbers | Folded };

/** Every column as a list; tables that are plain already stay as they are. */
export function unfold(table: WireTrials): WireTrials {
  const columns: Record<string, unknown> = { ...table.columns };
  // What is like another column needs that one first.
  const folded = Object.entries(columns).sort(([, a], [, b]) => Number(isLike(a)) - Number(isLike(b)));
  for (const [name, column] of folded) {
    if (isFolded(column)) columns[name] = unfolded(column, columns);
  }
  const hparams = table.hparams.map((h) =>
    h.kind === "number" && isFolded(h.values) ? { ...h, values: unfolded(h.values, columns) } : h,
  );
  return { ...table, columns: columns as unknown as WireTrials["columns"], hparams };
}

function isFolded(column: unknown): column is Folded {
  return typeof column === "object" && column !== null && ("deltas" in column || "whole" in column || "like" in column);
}

function isLike(column: unknown): boolean {
  return isFolded(column) && "like" in column;
}

function unfolded(column: Folded, others: Record<string, unknown>): Numbers {
  if ("deltas" in column) return summed(column.deltas, column.per);
  if ("whole" in column) return fractions(column.whole, column.powers);
  const out = (others[column.like] as Numbers).slice();
  const values = isFolded(column.values) ? unfolded(column.values, others) : column.values;
  summed(column.rows, 1).forEach((row, i) => {
    out[row] = values[i] ?? null;
  });
  return out;
}

function summed(deltas: readonly number[], per: number): number[] {
  let sum = 0;
  return deltas.map((d) => {
    sum += d;
    return sum / per;
  });
}

/** Powers of ten that are exact, so that dividing by them gives the very number that was meant. */
const EXACT = Array.from({ length: 23 }, (_, k) => Number(`1e${k}`));

function fractions(whole: string, powers: readonly (number | null)[]): Numbers {
  const bytes = atob(whole);
  const n = powers.length;
  return powers.map((power, i) => {
    if (power === null) return null;
    let value = 0;
    for (let plane = 0; plane < 4; plane++) value |= bytes.charCodeAt(plane * n + i) << (8 * plane);
    const exact = EXACT[Math.abs(power)];
    if (exact === undefined) return Number(`${value}e${power}`);
    return power < 0 ? value / exact : value * exact;
  });
}
