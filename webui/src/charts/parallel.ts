/** Parallel coordinates: one line per trial through an axis per hyperparameter. Dragging along an axis sets a range. */

import { BUCKETS, type Merit, merit } from "../merit.ts";
import type { Palette } from "../palette.ts";
import { BOLD, Chart, type Context, FONT, line } from "./base.ts";
import {
  type Axis,
  type Brush,
  hparamAxis,
  labels,
  metricAxis,
  optionMarks,
  optionsBetween,
  ordered,
  type ParallelData,
  rangeBrush,
  type Span,
  shorten,
} from "./parallelAxes.ts";

export interface ParallelOptions {
  onBrush(axis: string, brush: Brush): void;
  onHover(trial: number | null): void;
}

const NEAR = 22;

export class ParallelChart extends Chart {
  private readonly options: ParallelOptions;
  private data: ParallelData | null = null;
  private kept: ((trial: number) => boolean) | null = null;
  private brushes = new Map<string, Brush>();
  private ranked: Merit = { order: new Uint32Array(), bucket: new Uint8Array() };
  private axes: Axis[] = [];
  private at: number[] = [];
  private drag: { axis: number; from: number; to: number } | null = null;
  private shown = 0;
  private pointed = -1;
  private colours!: Palette;

  constructor(host: HTMLElement, options: ParallelOptions) {
    super(host, 2);
    this.options = options;
    this.on(host, "pointerdown", (e: PointerEvent) => this.down(e));
    this.on(host, "pointermove", (e: PointerEvent) => this.move(e));
    this.on(host, "pointerup", (e: PointerEvent) => this.up(e));
    this.on(host, "pointerleave", () => this.point(null));
    this.on(host, "dblclick", (e: MouseEvent) => this.reset(e));
  }

  describe(): Record<string, unknown> {
    return {
      trials: this.data?.ids.length ?? 0,
      shown: this.shown,
      axes: this.axes.map((a) => a.name),
      positions: this.at,
      span: [this.top, this.bottom],
      brushes: Object.fromEntries(this.brushes),
    };
  }

  set(data: ParallelData): void {
    this.data = data;
    this.ranked = merit(data.values, data.smaller, 5);
    this.later();
  }

  /** Which trials stand out, and which ranges are marked. */
  filter(kept: ((trial: number) => boolean) | null, brushes: Map<string, Brush>): void {
    this.kept = kept;
    this.brushes = brushes;
    this.later();
  }

  point(trial: number | null): void {
    const row = trial === null || !this.data ? -1 : this.data.ids.indexOf(trial);
    if (row === this.pointed) return;
    this.pointed = row;
    if (this.colours) this.drawTop();
  }

  private get top(): number {
    return 36;
  }
  private get bottom(): number {
    return this.h - 16;
  }

  private layout(data: ParallelData): void {
    const names = data.hparams.length + 1;
    const [left, right] = [46, this.w - 74];
    this.at = Array.from({ length: names }, (_, k) => left + ((right - left) * k) / Math.max(1, names - 1));
    const span: Span = [this.top, this.bottom];
    this.axes = [...data.hparams.map((h) => hparamAxis(h, data.ids, span)), metricAxis(data, span)];
  }

  protected draw(p: Palette): void {
    this.colours = p;
    const { data } = this;
    const c = this.layers[0]!;
    c.clearRect(0, 0, this.w, this.h);
    if (!data) return;
    this.layout(data);
    const paths: (Path2D | undefined)[] = new Array(BUCKETS);
    const faint = new Path2D();
    this.shown = 0;
    for (const row of this.ranked.order) {
      if (this.kept && !this.kept(data.ids[row]!)) {
        this.trace(faint, row);
        continue;
      }
      this.shown++;
      const bucket = this.ranked.bucket[row]!;
      const path = paths[bucket] ?? new Path2D();
      paths[bucket] = path;
      this.trace(path, row);
    }
    c.lineWidth = 0.6;
    c.globalAlpha = 0.45;
    c.strokeStyle = p.faint;
    c.stroke(faint);
    const many = this.shown > 300;
    paths.forEach((path, bucket) => {
      if (!path) return;
      const good = bucket / (BUCKETS - 1);
      c.globalAlpha = many && !this.kept ? 0.22 + 0.7 * good * good : 0.85;
      c.lineWidth = 0.7 + 0.9 * good * good;
      c.strokeStyle = p.merit[bucket]!;
      c.stroke(path);
    });
    c.globalAlpha = 1;
    this.drawTop();
  }

  private trace(path: Path2D, row: number): void {
    const { at, axes } = this;
    path.moveTo(at[0]!, axes[0]!.pixels[row]!);
    for (let k = 1; k < at.length; k++) {
      const bend = (at[k]! - at[k - 1]!) * 0.42;
      const [y0, y1] = [axes[k - 1]!.pixels[row]!, axes[k]!.pixels[row]!];
      path.bezierCurveTo(at[k - 1]! + bend, y0, at[k]! - bend, y1, at[k]!, y1);
    }
  }

  private drawTop(): void {
    const c = this.layers[1]!;
    const p = this.colours;
    c.clearRect(0, 0, this.w, this.h);
    if (this.pointed >= 0 && this.axes.length) {
      const path = new Path2D();
      this.trace(path, this.pointed);
      c.strokeStyle = p.surface;
      c.lineWidth = 5.5;
      c.stroke(path);
      c.strokeStyle = p.accent;
      c.lineWidth = 2.4;
      c.stroke(path);
    }
    this.axes.forEach((axis, k) => {
      this.drawAxis(c, p, axis, Math.round(this.at[k]!) + 0.5, k);
    });
  }

  private drawAxis(c: Context, p: Palette, axis: Axis, x: number, k: number): void {
    c.strokeStyle = p.text3;
    c.lineWidth = 1;
    line(c, x, this.top, x, this.bottom);
    c.font = BOLD;
    c.fillStyle = p.text;
    c.textBaseline = "middle";
    c.textAlign = k === 0 ? "left" : k === this.axes.length - 1 ? "right" : "center";
    const room = (this.at[1] ?? this.w) - (this.at[0] ?? 0) - 10;
    c.fillText(shorten(c, axis.name, room), k === 0 ? 8 : k === this.axes.length - 1 ? this.w - 8 : x, 15);
    c.font = FONT;
    c.fillStyle = p.text2;
    c.textAlign = "left";
    c.lineWidth = 3;
    c.strokeStyle = p.surface;
    for (const [text, y] of labels(axis, [this.top, this.bottom])) {
      if (y < this.top - 2 || y > this.bottom + 2) continue;
      c.strokeText(text, x + 7, y);
      c.fillText(text, x + 7, y);
    }
    for (const [from, to] of this.marks(axis, k)) {
      c.fillStyle = p.accent;
      c.globalAlpha = 0.18;
      c.fillRect(x - 8, from, 16, to - from);
      c.globalAlpha = 1;
      c.strokeStyle = p.accent;
      c.lineWidth = 1.5;
      c.strokeRect(x - 8, from, 16, to - from);
    }
  }

  /** The stretches of an axis that are brushed, in pixels. */
  private marks(axis: Axis, k: number): [number, number][] {
    if (this.drag?.axis === k) return [ordered(this.drag.from, this.drag.to)];
    const brush = this.brushes.get(axis.name);
    const inside = (y: number) => Math.max(this.top, Math.min(this.bottom, y));
    if (!brush) return [];
    if ("lo" in brush) {
      if (!axis.scale) return [];
      const from = Number.isFinite(brush.hi) ? inside(axis.scale(brush.hi)) : this.top;
      const to = Number.isFinite(brush.lo) ? inside(axis.scale(brush.lo)) : this.bottom;
      return [[Math.min(from, to - 3), to]];
    }
    return optionMarks(axis, brush.options, [this.top, this.bottom]);
  }

  private down(event: PointerEvent): void {
    const [x, y] = this.place(event);
    const axis = this.at.findIndex((a) => Math.abs(a - x) < NEAR);
    if (axis < 0 || y < this.top - 12) return;
    event.preventDefault();
    this.host.setPointerCapture(event.pointerId);
    const from = Math.max(this.top, Math.min(this.bottom, y));
    this.drag = { axis, from, to: from };
  }

  private move(event: PointerEvent): void {
    const [x, y] = this.place(event);
    if (!this.drag) {
      this.host.style.cursor = this.at.some((a) => Math.abs(a - x) < NEAR) ? "ns-resize" : "default";
      return;
    }
    this.drag.to = Math.max(this.top, Math.min(this.bottom, y));
    this.drawTop();
  }

  private up(event: PointerEvent): void {
    const { drag } = this;
    this.drag = null;
    if (!drag) return;
    this.host.releasePointerCapture(event.pointerId);
    const axis = this.axes[drag.axis]!;
    const [from, to] = ordered(drag.from, drag.to);
    if (to - from < 4 && axis.scale) return this.options.onBrush(axis.name, null);
    if (axis.scale) return this.options.onBrush(axis.name, rangeBrush(axis.scale, from, to, [this.top, this.bottom]));
    const options = optionsBetween(axis, from, to, [this.top, this.bottom]);
    const before = this.brushes.get(axis.name);
    const same = before && "options" in before && before.options.join() === options.join();
    this.options.onBrush(axis.name, same ? null : { options });
  }

  private reset(event: MouseEvent): void {
    const [x] = this.place(event);
    const axis = this.at.findIndex((a) => Math.abs(a - x) < NEAR);
    for (const name of axis < 0 ? [...this.brushes.keys()] : [this.axes[axis]!.name]) this.options.onBrush(name, null);
  }
}
