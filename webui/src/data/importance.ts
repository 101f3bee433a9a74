/**
 * How much each hyperparameter says about the metric: a cheap estimate by ranks.
 *
 * The trials are cut into groups by the value (ten of the same size, or the options). What share of the spread of
 * ranks lies between the groups is the importance, less what chance would give. It sees any shape of dependence on one
 * hyperparameter, but no interplay of several.
 */

import type { Hparam } from "./trials.ts";

const GROUPS = 10;

export function importance(
  hparams: readonly Hparam[],
  metric: readonly (number | null)[],
): { name: string; share: number }[] {
  const rows: number[] = [];
  metric.forEach((v, i) => {
    if (v !== null && !Number.isNaN(v)) rows.push(i);
  });
  const rank = ranks(rows, metric);
  const raw = hparams.map((h) => ({ name: h.name, share: between(h, rows, rank) }));
  const sum = raw.reduce((a, r) => a + r.share, 0) || 1;
  return raw.map((r) => ({ ...r, share: r.share / sum })).sort((a, b) => b.share - a.share);
}

function ranks(rows: number[], metric: readonly (number | null)[]): Map<number, number> {
  const sorted = [...rows].sort((a, b) => metric[a]! - metric[b]!);
  return new Map(sorted.map((row, i) => [row, i / Math.max(1, sorted.length - 1)]));
}

function between(hparam: Hparam, rows: number[], rank: Map<number, number>): number {
  const known = rows.filter((r) => hparam.values[r] !== null);
  if (known.length < 4) return 0;
  const group = hparam.kind === "category" ? byOption(hparam, known) : byQuantile(hparam, known);
  const sums = new Map<unknown, [number, number]>();
  let total = 0;
  for (const row of known) {
    const r = rank.get(row)!;
    const entry = sums.get(group.get(row)) ?? [0, 0];
    sums.set(group.get(row), [entry[0] + r, entry[1] + 1]);
    total += r;
  }
  const n = known.length;
  const mean = total / n;
  let inside = 0;
  for (const [sum, size] of sums.values()) inside += size * (sum / size - mean) ** 2;
  const spread = known.reduce((a, row) => a + (rank.get(row)! - mean) ** 2, 0) || 1;
  const chance = (sums.size - 1) / Math.max(1, n - 1);
  return Math.max(0, (inside / spread - chance) / Math.max(1e-9, 1 - chance));
}

function byOption(hparam: Hparam, rows: number[]): Map<number, unknown> {
  return new Map(rows.map((r) => [r, hparam.values[r]]));
}

function byQuantile(hparam: Hparam, rows: number[]): Map<number, unknown> {
  const sorted = [...rows].sort((a, b) => (hparam.values[a] as number) - (hparam.values[b] as number));
  const groups = Math.min(GROUPS, Math.max(2, Math.floor(rows.length / 4)));
  const out = new Map<number, unknown>();
  let previous: unknown;
  let current = 0;
  sorted.forEach((row, i) => {
    // Equal values stay together, so that a choice of three numbers makes three groups.
    if (hparam.values[row] !== previous) current = Math.floor((i * groups) / sorted.length);
    previous = hparam.values[row];
    out.set(row, current);
  });
  return out;
}
