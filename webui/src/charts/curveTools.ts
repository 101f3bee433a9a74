/** Where curves are drawn, and which one is pointed at. */

import type { Curve } from "../data/curves.ts";
import { quantile, type Scale, type ScaleKind, scale } from "../scales.ts";

const HEADROOM = 1.12;
const CLIP = 0.985;
const REACH = 18;

interface Wanted {
  readonly smaller: boolean;
  readonly xKind: ScaleKind;
  readonly yKind: ScaleKind;
}

/** Scales for all curves, with room to grow, and how many curves leave them. */
export function curveScales(
  list: readonly Curve[],
  { smaller, xKind, yKind }: Wanted,
  [left, top, right, bottom]: readonly [number, number, number, number],
): { x: Scale; y: Scale; above: number } {
  let end = 0;
  let start = Number.POSITIVE_INFINITY;
  const ys: number[] = [];
  for (const c of list) {
    if (!c.x.length) continue;
    end = Math.max(end, c.x[c.x.length - 1]!);
    start = Math.min(start, c.x[0]!);
    const every = Math.max(1, Math.floor(c.y.length / 40));
    for (let i = 0; i < c.y.length; i += every) ys.push(c.y[i]!);
    ys.push(c.best);
  }
  const finite = Float64Array.from(ys.filter(Number.isFinite)).sort();
  // Diverged values are cut off, so that they do not press the others flat.
  const least = finite[0] ?? 0;
  const most = finite[finite.length - 1] ?? 1;
  let lo = smaller ? least : quantile(finite, 1 - CLIP);
  let hi = smaller ? quantile(finite, CLIP) : most;
  if (!(hi > lo)) [lo, hi] = [least - Math.abs(least) * 0.1 - 1e-6, least + Math.abs(least) * 0.1 + 1e-6];
  const cut = smaller ? hi : lo;
  const isCut = (v: number) => (smaller ? v > cut : v < cut);
  const above = list.filter((c) => c.y.some(isCut)).length;
  const yLog = yKind === "log" && lo > 0;
  [lo, hi] = yLog ? [lo / 1.04, hi * 1.02] : [lo - (hi - lo) * 0.04, hi + (hi - lo) * 0.02];
  const xLog = xKind === "log" && start > 0 && end > start;
  const from = xLog ? start : 0;
  const grown = xLog ? end * HEADROOM : end * (1 + (HEADROOM - 1) / 3);
  return {
    x: scale(xLog ? "log" : "lin", from, Math.max(grown, from + 1e-9), left, right),
    y: scale(yLog ? "log" : "lin", lo, hi, bottom, top),
    above,
  };
}

/** The curve with a point close to a place: by the points beside it in x, found by halving. */
export function nearest(
  list: readonly Curve[],
  x: Scale,
  y: Scale,
  px: number,
  py: number,
  hidden: ((trial: number) => boolean) | null,
): { curve: Curve; at: number } | null {
  const wanted = x.invert(px);
  let found: { curve: Curve; at: number } | null = null;
  let least = REACH * REACH;
  for (const curve of list) {
    if (hidden?.(curve.id)) continue;
    let lo = 0;
    let hi = curve.x.length - 1;
    while (lo < hi) {
      const middle = (lo + hi) >> 1;
      if (curve.x[middle]! < wanted) lo = middle + 1;
      else hi = middle;
    }
    for (const at of [lo - 1, lo]) {
      const v = curve.x[at];
      if (v === undefined) continue;
      const distance = (x(v) - px) ** 2 + (y(curve.y[at]!) - py) ** 2;
      if (distance < least) {
        least = distance;
        found = { curve, at };
      }
    }
  }
  return found;
}

/** The highest rung whose length a curve has come to. */
export function rungOf(curve: Curve, rungs: readonly number[]): number {
  const reached = curve.x.at(-1) ?? 0;
  let rung = 0;
  while (rung + 1 < rungs.length && rungs[rung + 1]! <= reached) rung++;
  return rung;
}
