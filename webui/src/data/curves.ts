/** Learning curves: how they come over the wire, and how new points are added. */

import type { Point } from "./types.ts";

const MAGIC = 0x31435444;

export interface Curve {
  readonly id: number;
  readonly x: number[];
  readonly y: number[];
  best: number;
}

export interface Curves {
  readonly list: Curve[];
  readonly byId: Map<number, Curve>;
  /** Trials of the experiment, of which the list may be a sample. */
  total: number;
  sampling: string;
}

/** Takes the binary form apart: magic, seq, n, total; then ids, lengths, all x, all y. */
export function decodeCurves(bytes: ArrayBuffer, smaller: boolean, sampling = ""): Curves {
  const head = new DataView(bytes);
  if (bytes.byteLength < 16 || head.getUint32(0, true) !== MAGIC) {
    throw new Error("the curves came in a form that this page does not know; reload it");
  }
  const n = head.getUint32(8, true);
  const total = head.getUint32(12, true);
  const ids = new Uint32Array(bytes, 16, n);
  const lengths = new Uint32Array(bytes, 16 + 4 * n, n);
  const points = lengths.reduce((a, b) => a + b, 0);
  const x = new Float32Array(bytes, 16 + 8 * n, points);
  const y = new Float32Array(bytes, 16 + 8 * n + 4 * points, points);
  const list: Curve[] = [];
  let from = 0;
  for (let i = 0; i < n; i++) {
    const to = from + lengths[i]!;
    const curve: Curve = {
      id: ids[i]!,
      x: Array.from(x.subarray(from, to)),
      y: Array.from(y.subarray(from, to)),
      best: Number.NaN,
    };
    curve.best = bestOf(curve.y, smaller);
    list.push(curve);
    from = to;
  }
  return { list, byId: new Map(list.map((c) => [c.id, c])), total, sampling };
}

/** The other direction, for tests and the development server. */
export function encodeCurves(curves: { id: number; x: number[]; y: number[] }[], total: number, seq = 0): ArrayBuffer {
  const points = curves.reduce((a, c) => a + c.x.length, 0);
  const bytes = new ArrayBuffer(16 + 8 * curves.length + 8 * points);
  const head = new DataView(bytes);
  [MAGIC, seq, curves.length, total].forEach((v, i) => {
    head.setUint32(4 * i, v, true);
  });
  new Uint32Array(bytes, 16, curves.length).set(curves.map((c) => c.id));
  new Uint32Array(bytes, 16 + 4 * curves.length, curves.length).set(curves.map((c) => c.x.length));
  new Float32Array(bytes, 16 + 8 * curves.length, points).set(curves.flatMap((c) => c.x));
  new Float32Array(bytes, 16 + 8 * curves.length + 4 * points, points).set(curves.flatMap((c) => c.y));
  return bytes;
}

export function bestOf(values: readonly number[], smaller: boolean): number {
  let best = Number.NaN;
  for (const v of values) if (!Number.isNaN(v) && (Number.isNaN(best) || (smaller ? v < best : v > best))) best = v;
  return best;
}

/** As exact as numbers are that came in the binary form. */
const single = Math.fround;

/**
 * Adds points; those that are there already change nothing. One that comes before others was reported anew, by a trial
 * that goes on from a checkpoint: those others count no more, which `rewound` is told. Returns the ones that were added.
 */
export function addPoints(
  curves: Curves,
  points: readonly Point[],
  smaller: boolean,
  rewound: () => void = () => {},
): Point[] {
  return points.filter(([id, x, y]) => {
    let curve = curves.byId.get(id);
    if (!curve) {
      curve = { id, x: [], y: [], best: Number.NaN };
      curves.list.push(curve);
      curves.byId.set(id, curve);
    }
    const last = curve.x.at(-1);
    if (last !== undefined && single(x) <= single(last)) {
      const place = curve.x.findIndex((known) => single(known) >= single(x));
      if (single(curve.x[place]!) === single(x) && single(curve.y[place]!) === single(y)) return false;
      curve.x.length = curve.y.length = place;
      curve.best = bestOf(curve.y, smaller);
      rewound();
    }
    curve.x.push(x);
    curve.y.push(y);
    curve.best = bestOf([curve.best, y], smaller);
    return true;
  });
}
