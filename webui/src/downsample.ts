/** Keeps the shape of a series in fewer points: of each stretch the least and the greatest value, and both ends. */
export function minMax(x: ArrayLike<number>, y: ArrayLike<number>, limit: number): [number[], number[]] {
  const n = x.length;
  if (n <= limit || limit < 4) return [Array.from(x), Array.from(y)];
  const stretches = Math.floor((limit - 2) / 2);
  const outX: number[] = [x[0]!];
  const outY: number[] = [y[0]!];
  const keep = (i: number) => {
    outX.push(x[i]!);
    outY.push(y[i]!);
  };
  for (let s = 0; s < stretches; s++) {
    const from = 1 + Math.floor((s * (n - 2)) / stretches);
    const to = 1 + Math.floor(((s + 1) * (n - 2)) / stretches);
    if (to <= from) continue;
    let lo = from;
    let hi = from;
    for (let i = from + 1; i < to; i++) {
      if (y[i]! < y[lo]!) lo = i;
      if (y[i]! > y[hi]!) hi = i;
    }
    keep(Math.min(lo, hi));
    if (lo !== hi) keep(Math.max(lo, hi));
  }
  keep(n - 1);
  return [outX, outY];
}
