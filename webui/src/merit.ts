/** Merit: how good a trial is among the others, by rank, so that a diverged one changes nothing for the rest. */

import { inOrder } from "./order.ts";

export const BUCKETS = 24;

export interface Merit {
  /** Places of the values from the worst to the best; values that are missing are left out. */
  readonly order: Uint32Array;
  /** For each value its step on the ramp of colours, 0 the worst. */
  readonly bucket: Uint8Array;
}

/** Ranks values; a power above 1 keeps strong ink for the good end. */
export function merit(values: ArrayLike<number | null>, smallerIsBetter: boolean, power = 3): Merit {
  const bucket = new Uint8Array(values.length);
  const places: number[] = [];
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    if (v != null && !Number.isNaN(v)) places.push(i);
  }
  // The worst first; of equal ones the later first.
  places.reverse();
  const keys = Float64Array.from(places, (i) => values[i]!);
  const order = Uint32Array.from(inOrder(places, keys, smallerIsBetter));
  const last = order.length - 1 || 1;
  order.forEach((place, rank) => {
    bucket[place] = Math.round((rank / last) ** power * (BUCKETS - 1));
  });
  return { order, bucket };
}

/** All of the best, and an even sample by rank of the others. */
export function sampleByMerit(order: Uint32Array, limit: number, bestShare = 0.4): number[] {
  if (order.length <= limit) return Array.from(order);
  const keep = Math.floor(limit * bestShare);
  const rest = order.length - keep;
  const out: number[] = [];
  const wanted = limit - keep;
  for (let k = 0; k < wanted; k++) out.push(order[Math.floor((k * rest) / wanted)]!);
  for (let k = rest; k < order.length; k++) out.push(order[k]!);
  return out;
}
