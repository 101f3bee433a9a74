/** Sorting tens of thousands of rows, several times a minute. */

/**
 * The rows by their keys, equal ones as they were; what is missing comes last, whichever way it is sorted.
 *
 * Numbers alone are sorted far faster than rows by a function, and each row then finds its place among them.
 */
export function inOrder(rows: readonly number[], keys: Float64Array, descending: boolean): number[] {
  if (descending) for (let i = 0; i < keys.length; i++) keys[i] = -keys[i]!;
  const sorted = keys.slice().sort();
  const known = firstMissing(sorted);
  const taken = new Uint32Array(rows.length);
  const out = new Array<number>(rows.length);
  rows.forEach((row, i) => {
    const key = keys[i]!;
    const first = Number.isNaN(key) ? known : lowerBound(sorted, key, known);
    out[first + taken[first]!++] = row;
  });
  return out;
}

function firstMissing(sorted: Float64Array): number {
  let n = sorted.length;
  while (n > 0 && Number.isNaN(sorted[n - 1]!)) n--;
  return n;
}

/** The first place, of those before an end, whose number is not below another one. */
function lowerBound(sorted: Float64Array, wanted: number, end: number): number {
  let [low, high] = [0, end];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
