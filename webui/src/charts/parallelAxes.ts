/** The axes of parallel coordinates: where values stand on them, what is written on them, what a brush on them says. */

import type { Hparam } from "../data/trials.ts";
import { num } from "../format.ts";
import { extent, quantile, type Scale, scale, ticks, wantsLog } from "../scales.ts";
import { type Context, jitter } from "./base.ts";

export interface ParallelData {
  readonly ids: readonly number[];
  readonly hparams: readonly Hparam[];
  readonly metric: string;
  readonly values: readonly (number | null)[];
  readonly smaller: boolean;
}

/** What a brush says: a range of numbers, some options, or nothing any more. */
export type Brush = { lo: number; hi: number } | { options: string[] } | null;

export type Span = readonly [top: number, bottom: number];

export interface Axis {
  readonly name: string;
  readonly scale: Scale | null;
  readonly options: readonly string[];
  readonly pixels: Float32Array;
  /** Values to name on the axis; none for round ones. */
  readonly named: readonly number[];
}

/** Room at both ends of an axis, so that its first and last values can be brushed. */
const EDGE = 10;
const FEW = 8;

export function hparamAxis(hparam: Hparam, ids: readonly number[], span: Span): Axis {
  if (hparam.kind === "number") {
    const values = hparam.values as (number | null)[];
    return numeric(hparam.name, values, extent(values) ?? [0, 1], wantsLog(values), span);
  }
  const [top, bottom] = span;
  const options = [...new Set(hparam.values.filter((v) => v !== null).map(String))].sort();
  const place = new Map(options.map((o, i) => [o, i]));
  const step = (bottom - top) / Math.max(1, options.length);
  const pixels = Float32Array.from(hparam.values, (v, i) => {
    if (v === null) return bottom;
    // Lines of one option are spread over its share of the axis, or they would be one line.
    const off = (jitter(ids[i]! * 31 + hparam.name.length) - 0.5) * 0.55;
    return bottom - (place.get(String(v))! + 0.5 + off) * step;
  });
  return { name: hparam.name, scale: null, options, pixels, named: [] };
}

export function metricAxis({ metric, values, smaller }: ParallelData, span: Span): Axis {
  const sorted = Float64Array.from(values.filter((v): v is number => v !== null && Number.isFinite(v))).sort();
  const lo = smaller ? (sorted[0] ?? 0) : quantile(sorted, 0.03);
  const hi = smaller ? quantile(sorted, 0.97) : (sorted[sorted.length - 1] ?? 1);
  return numeric(metric, values, [lo, hi], lo > 0 && hi / lo > 6, span);
}

function numeric(
  name: string,
  values: readonly (number | null)[],
  [lo, hi]: [number, number],
  log: boolean,
  [top, bottom]: Span,
): Axis {
  const safe: [number, number] = hi > lo ? [lo, hi] : [lo - 0.5, hi + 0.5];
  const s = scale(log ? "log" : "lin", ...safe, bottom - EDGE, top + EDGE);
  const pixels = Float32Array.from(values, (v) => (v === null ? bottom : Math.max(top, Math.min(bottom, s(v)))));
  const distinct = [...new Set(values)].filter((v): v is number => v !== null);
  return { name, scale: s, options: [], pixels, named: distinct.length <= FEW ? distinct : [] };
}

/** What is written on an axis, and where. */
export function labels(axis: Axis, [top, bottom]: Span): [string, number][] {
  const { scale: s, options } = axis;
  if (s) return (axis.named.length ? axis.named : ticks(s.kind, s.lo, s.hi, 4)).map((t) => [num(t), s(t)]);
  const step = (bottom - top) / options.length;
  return options.map((o, i) => [o, bottom - (i + 0.5) * step]);
}

/** The range between two places; an end at the end of the axis leaves nothing out beyond it. */
export function rangeBrush(s: Scale, from: number, to: number, [top, bottom]: Span): Brush {
  const hi = from <= top + EDGE ? Number.POSITIVE_INFINITY : s.invert(from);
  const lo = to >= bottom - EDGE ? Number.NEGATIVE_INFINITY : s.invert(to);
  return hi === Number.POSITIVE_INFINITY && lo === Number.NEGATIVE_INFINITY ? null : { lo, hi };
}

/** The options that a stretch of the axis touches. */
export function optionsBetween(axis: Axis, from: number, to: number, [top, bottom]: Span): string[] {
  const step = (bottom - top) / axis.options.length;
  return axis.options.filter((_, i) => {
    const middle = bottom - (i + 0.5) * step;
    return Math.abs(middle - (from + to) / 2) <= (to - from) / 2 + step / 2 - 2;
  });
}

/** The stretches of an axis that options stand for. */
export function optionMarks(axis: Axis, options: readonly string[], [top, bottom]: Span): [number, number][] {
  const step = (bottom - top) / Math.max(1, axis.options.length);
  return options
    .map((o) => axis.options.indexOf(o))
    .filter((i) => i >= 0)
    .map((i) => [bottom - (i + 1) * step + 2, bottom - i * step - 2]);
}

export function ordered(a: number, b: number): [number, number] {
  return a < b ? [a, b] : [b, a];
}

/** Text that fits, cut where it does not. */
export function shorten(c: Context, text: string, room: number): string {
  if (c.measureText(text).width <= room) return text;
  let n = text.length;
  while (n > 3 && c.measureText(`${text.slice(0, n)}…`).width > room) n--;
  return `${text.slice(0, n)}…`;
}
