/** How the best result of an experiment improved: over trials, over time, over the work that was done. */

import type { TrialTable } from "./trials.ts";

export type Over = "trials" | "time" | "work";

/** Steps of the best so far; work is in the experiment's units, time in seconds since its start. */
export function bestSoFar(
  table: TrialTable,
  smaller: boolean,
  over: Over,
  start: number | null,
): { x: number[]; y: number[] } {
  const rows = table.id.map((_, r) => r).filter((r) => table.best[r] !== null && !Number.isNaN(table.best[r]!));
  const when = (r: number) => table.endedAt[r] ?? table.startedAt[r] ?? 0;
  rows.sort(over === "trials" ? (a, b) => table.id[a]! - table.id[b]! : (a, b) => when(a) - when(b));
  const out: { x: number[]; y: number[] } = { x: [], y: [] };
  let best: number | null = null;
  let work = 0;
  rows.forEach((r, i) => {
    work += table.units[r]!;
    const v = table.best[r]!;
    const x = over === "trials" ? i + 1 : over === "work" ? work : when(r) - (start ?? when(rows[0]!));
    const better = best === null || (smaller ? v < best : v > best);
    if (better) best = v;
    if (better || i === rows.length - 1) {
      out.x.push(x);
      out.y.push(best!);
    }
  });
  return out;
}
