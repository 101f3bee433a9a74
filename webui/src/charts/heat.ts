/** Two hyperparameters against each other: each cell shows the best metric found in it. */

import type { Hparam } from "../data/trials.ts";
import { num } from "../format.ts";
import { BUCKETS, merit } from "../merit.ts";
import type { Palette } from "../palette.ts";
import { extent, scale, ticks, wantsLog } from "../scales.ts";
import { type Box, Chart, FONT } from "./base.ts";

export interface HeatData {
  readonly x: Hparam;
  readonly y: Hparam;
  readonly values: readonly (number | null)[];
  readonly smaller: boolean;
  readonly kept: ((row: number) => boolean) | null;
}

interface Bins {
  readonly n: number;
  bin(v: number | string): number;
  readonly labels: [text: string, at: number][];
}

const CELLS = 14;

export class HeatChart extends Chart {
  private data: HeatData | null = null;
  private cells: { best: number; trials: number }[] = [];
  private bins: [Bins, Bins] | null = null;
  private box: Box = [0, 0, 0, 0];

  constructor(host: HTMLElement) {
    super(host, 1);
    this.on(host, "pointermove", (e: PointerEvent) => this.look(...this.place(e)));
    this.on(host, "pointerleave", () => this.say(null));
  }

  describe(): Record<string, unknown> {
    return { x: this.data?.x.name, y: this.data?.y.name, filled: this.cells.filter((c) => c?.trials).length };
  }

  set(data: HeatData): void {
    this.data = data;
    this.later();
  }

  protected draw(p: Palette): void {
    const c = this.layers[0]!;
    c.clearRect(0, 0, this.w, this.h);
    const { data } = this;
    if (!data) return;
    this.box = [78, 8, this.w - 8, this.h - 44];
    const [bx, by] = [binsOf(data.x), binsOf(data.y)];
    this.bins = [bx, by];
    this.fill(data, bx, by);
    const filled = this.cells.map((cell) => (cell.trials ? cell.best : null));
    const { bucket } = merit(filled, data.smaller, 1.6);
    const [left, top, right, bottom] = this.box;
    const [cw, ch] = [(right - left) / bx.n, (bottom - top) / by.n];
    this.cells.forEach((cell, i) => {
      const [x, y] = [left + (i % bx.n) * cw, bottom - (Math.floor(i / bx.n) + 1) * ch];
      c.fillStyle = cell.trials ? p.merit[Math.min(BUCKETS - 1, bucket[i]!)]! : p.sunken;
      c.beginPath();
      c.roundRect(x + 1, y + 1, cw - 2, ch - 2, 3);
      c.fill();
    });
    c.font = FONT;
    c.fillStyle = p.text3;
    c.textAlign = "center";
    c.textBaseline = "top";
    let free = Number.NEGATIVE_INFINITY;
    for (const [text, at] of bx.labels) {
      const x = left + at * (right - left);
      const half = c.measureText(text).width / 2;
      if (x - half < free) continue;
      c.fillText(text, x, bottom + 6);
      free = x + half + 8;
    }
    c.fillStyle = p.text2;
    c.fillText(data.x.name, (left + right) / 2, bottom + 24);
    c.textAlign = "right";
    c.textBaseline = "middle";
    c.fillStyle = p.text3;
    for (const [text, at] of by.labels)
      c.fillText(text.length > 9 ? `${text.slice(0, 8)}…` : text, left - 8, bottom - at * (bottom - top));
    c.save();
    c.translate(12, (top + bottom) / 2);
    c.rotate(-Math.PI / 2);
    c.textAlign = "center";
    c.fillStyle = p.text2;
    c.fillText(data.y.name, 0, 0);
    c.restore();
  }

  private fill(data: HeatData, bx: Bins, by: Bins): void {
    this.cells = Array.from({ length: bx.n * by.n }, () => ({ best: Number.NaN, trials: 0 }));
    data.values.forEach((v, row) => {
      const [x, y] = [data.x.values[row], data.y.values[row]];
      if (v === null || x == null || y == null || Number.isNaN(v) || (data.kept && !data.kept(row))) return;
      const cell = this.cells[by.bin(y) * bx.n + bx.bin(x)]!;
      cell.trials++;
      if (Number.isNaN(cell.best) || (data.smaller ? v < cell.best : v > cell.best)) cell.best = v;
    });
  }

  private look(px: number, py: number): void {
    const { bins, box, data } = this;
    if (!bins || !data) return;
    const [left, top, right, bottom] = box;
    const i = Math.floor(((px - left) / (right - left)) * bins[0].n);
    const j = Math.floor(((bottom - py) / (bottom - top)) * bins[1].n);
    const cell = i >= 0 && i < bins[0].n && j >= 0 && j < bins[1].n ? this.cells[j * bins[0].n + i] : undefined;
    if (!cell?.trials) return this.say(null);
    this.say(`best ${num(cell.best)} of ${cell.trials} ${cell.trials === 1 ? "trial" : "trials"}`, px, py);
  }
}

function binsOf(hparam: Hparam): Bins {
  if (hparam.kind === "category") {
    const options = [...new Set(hparam.values.filter((v) => v !== null).map(String))].sort();
    return {
      n: Math.max(1, options.length),
      bin: (v) => Math.max(0, options.indexOf(String(v))),
      labels: options.map((o, i) => [o, (i + 0.5) / options.length]),
    };
  }
  const values = hparam.values as (number | null)[];
  const distinct = [...new Set(values.filter((v): v is number => v !== null))].sort((a, b) => a - b);
  if (distinct.length <= CELLS) {
    return {
      n: Math.max(1, distinct.length),
      bin: (v) => Math.max(0, distinct.indexOf(v as number)),
      labels: distinct.map((v, i) => [num(v), (i + 0.5) / distinct.length]),
    };
  }
  const [lo, hi] = extent(values) ?? [0, 1];
  const unit = scale(wantsLog(values) ? "log" : "lin", lo, hi, 0, 1);
  return {
    n: CELLS,
    bin: (v) => Math.min(CELLS - 1, Math.max(0, Math.floor(unit(v as number) * CELLS))),
    labels: ticks(unit.kind, lo, hi, 5).map((t) => [num(t), unit(t)]),
  };
}
