/** A few named series over a shared x: the metrics of a trial, trials or experiments side by side. */

import { num } from "../format.ts";
import type { Palette } from "../palette.ts";
import { extent, quantile, type Scale, type ScaleKind, scale } from "../scales.ts";
import { type Box, Chart, clipTo, disc, drawGrid, line } from "./base.ts";

export interface Series {
  readonly name: string;
  readonly x: readonly number[];
  readonly y: readonly (number | null)[];
  /** Place in the list of hues. */
  readonly hue: number;
  readonly dashed?: boolean;
  readonly steps?: boolean;
}

export interface LinesOptions {
  unit: string;
  xKind: ScaleKind;
  yKind: ScaleKind;
  format?: (x: number) => string;
}

export class LinesChart extends Chart {
  private series: readonly Series[] = [];
  private options: LinesOptions;
  private x!: Scale;
  private y!: Scale;
  private box: Box = [0, 0, 0, 0];
  private colours!: Palette;
  /** Called with the x under the pointer, so that charts beside this one can show the same place. */
  onLook: ((x: number | null) => void) | null = null;

  constructor(host: HTMLElement, options: LinesOptions) {
    super(host, 2);
    this.options = options;
    this.on(host, "pointermove", (e: PointerEvent) => {
      if (!this.x) return;
      const at = this.x.invert(this.place(e)[0]);
      this.mark(at);
      this.onLook?.(at);
    });
    this.on(host, "pointerleave", () => {
      this.mark(null);
      this.onLook?.(null);
    });
  }

  describe(): Record<string, unknown> {
    return { series: this.series.map((s) => [s.name, s.x.length]), y: this.y && [this.y.kind, this.y.lo, this.y.hi] };
  }

  set(series: readonly Series[], options: Partial<LinesOptions> = {}): void {
    this.series = series;
    this.options = { ...this.options, ...options };
    this.later();
  }

  private scales(): void {
    const xs = extent(this.series.flatMap((s) => [s.x[0] ?? null, s.x[s.x.length - 1] ?? null])) ?? [0, 1];
    const ys = Float64Array.from(
      this.series.flatMap((s) => s.y.filter((v): v is number => v !== null && Number.isFinite(v))),
    ).sort();
    let [lo, hi] = [ys[0] ?? 0, ys[ys.length - 1] ?? 1];
    // A few wild values at the start of training do not decide the scale.
    if (ys.length > 50 && hi - quantile(ys, 0.99) > 3 * (quantile(ys, 0.99) - lo)) hi = quantile(ys, 0.99);
    if (!(hi > lo)) [lo, hi] = [lo - Math.abs(lo) * 0.1 - 1e-6, lo + Math.abs(lo) * 0.1 + 1e-6];
    this.box = [54, 8, this.w - 14, this.h - 26];
    const [left, top, right, bottom] = this.box;
    const yLog = this.options.yKind === "log" && lo > 0;
    const xLog = this.options.xKind === "log" && xs[0] > 0;
    const pad = (hi - lo) * 0.05;
    this.y = yLog ? scale("log", lo / 1.05, hi * 1.05, bottom, top) : scale("lin", lo - pad, hi + pad, bottom, top);
    const from = xLog ? xs[0] : Math.min(0, xs[0]);
    this.x = scale(xLog ? "log" : "lin", from, xs[1] > from ? xs[1] + (xs[1] - from) * 0.02 : from + 1, left, right);
  }

  protected draw(p: Palette): void {
    this.colours = p;
    const c = this.layers[0]!;
    this.scales();
    c.clearRect(0, 0, this.w, this.h);
    drawGrid(c, p, this.box, this.x, this.y);
    c.textAlign = "left";
    c.fillStyle = p.text3;
    c.fillText(this.options.unit, 6, this.box[3] + 8);
    c.save();
    clipTo(c, this.box);
    for (const s of this.series) {
      c.strokeStyle = p.hues[s.hue % p.hues.length]!;
      c.lineWidth = 1.7;
      c.setLineDash(s.dashed ? [4, 3] : []);
      c.beginPath();
      let before: number | null = null;
      let n = 0;
      s.y.forEach((v, i) => {
        if (v === null || !Number.isFinite(v)) return;
        const [x, y] = [this.x(s.x[i]!), this.y(v)];
        if (before === null) c.moveTo(x, y);
        else {
          if (s.steps) c.lineTo(x, before);
          c.lineTo(x, y);
        }
        before = y;
        n++;
      });
      c.stroke();
      const only = s.y.findIndex((v) => v !== null && Number.isFinite(v));
      if (n === 1) disc(c, this.x(s.x[only]!), this.y(s.y[only]!), 3, p.hues[s.hue % p.hues.length]!);
    }
    c.setLineDash([]);
    c.restore();
  }

  /** Shows the values at an x; null shows none. */
  mark(at: number | null): void {
    const c = this.layers[1]!;
    if (!this.x) return;
    c.clearRect(0, 0, this.w, this.h);
    if (at === null || !this.series.length) return this.say(null);
    const p = this.colours;
    const [left, top, right, bottom] = this.box;
    const px = Math.max(left, Math.min(right, this.x(at)));
    c.strokeStyle = p.line;
    line(c, px, top, px, bottom);
    const texts: string[] = [];
    let shownX = at;
    for (const s of this.series) {
      const i = closest(s, at);
      if (i < 0) continue;
      shownX = s.x[i]!;
      disc(c, this.x(s.x[i]!), this.y(s.y[i]!), 3.5, p.hues[s.hue % p.hues.length]!, p.surface);
      texts.push(this.series.length > 1 ? `${s.name} ${num(s.y[i])}` : num(s.y[i]));
    }
    const head = this.options.format ? this.options.format(shownX) : `${num(shownX)} ${this.options.unit}`;
    this.say([head, ...texts].join("   "), px, top + 30);
  }
}

function closest(s: Series, at: number): number {
  let found = -1;
  s.x.forEach((x, i) => {
    if (s.y[i] == null) return;
    if (found < 0 || Math.abs(x - at) < Math.abs(s.x[found]! - at)) found = i;
  });
  return found;
}
