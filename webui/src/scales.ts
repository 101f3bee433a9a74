/** From values to pixels and back. A scale never throws: what lies outside is placed outside, or at an end. */

export type ScaleKind = "lin" | "log";

export interface Scale {
  (value: number): number;
  readonly kind: ScaleKind;
  readonly lo: number;
  readonly hi: number;
  invert(pixel: number): number;
}

/** A scale of values lo..hi onto pixels p0..p1. A logarithmic one needs lo > 0. */
export function scale(kind: ScaleKind, lo: number, hi: number, p0: number, p1: number): Scale {
  const width = p1 - p0;
  let map: (v: number) => number;
  let invert: (p: number) => number;
  if (kind === "log") {
    const a = Math.log(lo);
    const span = Math.log(hi) - a || 1;
    const floor = lo / 100;
    map = (v) => p0 + ((Math.log(Math.max(v, floor)) - a) / span) * width;
    invert = (p) => Math.exp(a + ((p - p0) / width) * span);
  } else {
    const span = hi - lo || 1;
    map = (v) => p0 + ((v - lo) / span) * width;
    invert = (p) => lo + ((p - p0) / width) * span;
  }
  return Object.assign(map, { kind, lo, hi, invert });
}

/** Round values inside of lo..hi, about n of them. */
export function ticks(kind: ScaleKind, lo: number, hi: number, n = 5): number[] {
  if (!(hi > lo)) return [lo];
  return kind === "log" ? logTicks(lo, hi, n) : linearTicks(lo, hi, n);
}

function linearTicks(lo: number, hi: number, n: number): number[] {
  const raw = (hi - lo) / n;
  const magnitude = 10 ** Math.floor(Math.log10(raw));
  const factor = raw / magnitude;
  const step = (factor < 1.5 ? 1 : factor < 3 ? 2 : factor < 7 ? 5 : 10) * magnitude;
  const first = Math.ceil(lo / step - 1e-9);
  const last = Math.floor(hi / step + 1e-9);
  const out: number[] = [];
  for (let i = first; i <= last; i++) out.push(Number((i * step).toPrecision(12)));
  return out;
}

function logTicks(lo: number, hi: number, n: number): number[] {
  const first = Math.ceil(Math.log10(lo) - 1e-9);
  const last = Math.floor(Math.log10(hi) + 1e-9);
  if (Math.log10(hi / lo) < 0.35) return linearTicks(lo, hi, n);
  const every = Math.max(1, Math.ceil((last - first + 1) / n));
  const out: number[] = [];
  for (let e = first; e <= last; e += every) out.push(10 ** e);
  for (const digit of [5, 2, 3, 7]) {
    if (out.length >= Math.min(n, 3)) break;
    for (let e = first - 1; e <= last; e++) {
      const v = digit * 10 ** e;
      if (v >= lo && v <= hi) out.push(v);
    }
  }
  return [...new Set(out.map((v) => Number(v.toPrecision(12))))].sort((a, b) => a - b);
}

/** The value below which the share q of sorted values lies. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const at = Math.floor(q * (sorted.length - 1));
  return sorted[Math.min(sorted.length - 1, Math.max(0, at))] ?? Number.NaN;
}

/**
 * Whether values ask for a logarithmic axis: all positive, spread wide, and evener on it than on a linear one. What is
 * drawn evenly from 0 to 1 may have a tiny least value by chance, so the spread alone does not tell.
 */
export function wantsLog(values: ArrayLike<number | null>): boolean {
  const known = Float64Array.from(
    Array.from(values).filter((v): v is number => v !== null && Number.isFinite(v)),
  ).sort();
  const [lo, hi, middle] = [known[0] ?? 0, known[known.length - 1] ?? 0, quantile(known, 0.5)];
  if (!(lo > 0) || hi / lo < 8) return false;
  const linear = Math.abs((middle - lo) / (hi - lo) - 0.5);
  const log = Math.abs(Math.log(middle / lo) / Math.log(hi / lo) - 0.5);
  return log < linear;
}

/** The least and the greatest finite value; null where there is none. */
export function extent(values: ArrayLike<number | null>): [number, number] | null {
  let lo = Number.POSITIVE_INFINITY;
  let hi = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    if (v == null || !Number.isFinite(v)) continue;
    if (v < lo) lo = v;
    if (v > hi) hi = v;
  }
  return hi >= lo ? [lo, hi] : null;
}
