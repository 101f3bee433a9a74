/** One hyperparameter against the metric, a dot for each trial. */

import type { Hparam } from "../data/trials.ts";
import { num, value } from "../format.ts";
import { merit } from "../merit.ts";
import type { Palette } from "../palette.ts";
import { extent, quantile, type Scale, scale, wantsLog } from "../scales.ts";
import { type Box, Chart, disc, drawGrid, FONT, jitter, line, placeAfter } from "./base.ts";

export interface ScatterData {
  readonly ids: readonly number[];
  readonly hparam: Hparam;
  readonly values: readonly (number | null)[];
  readonly smaller: boolean;
  readonly kept: ((trial: number) => boolean) | null;
  /** A trial to mark. */
  readonly marked: number | null;
}

export interface ScatterOptions {
  onPick(trial: number): void;
}

export class ScatterChart extends Chart {
  private data: ScatterData | null = null;
  private x: Scale | null = null;
  private y!: Scale;
  private box: Box = [0, 0, 0, 0];
  private options: string[] = [];
  private points: { row: number; x: number; y: number }[] = [];
  private hovered = -1;
  private colours!: Palette;
  private readonly told: ScatterOptions;

  constructor(host: HTMLElement, told: ScatterOptions) {
    super(host, 2);
    this.told = told;
    this.on(host, "pointermove", (e: PointerEvent) => this.look(...this.place(e)));
    this.on(host, "pointerleave", () => this.hover(-1));
    this.on(host, "click", () => this.hovered >= 0 && this.told.onPick(this.data!.ids[this.hovered]!));
    this.on(host, "keydown", (e: KeyboardEvent) => this.key(e));
    this.on(host, "blur", () => this.hover(-1));
  }

  describe(): Record<string, unknown> {
    const hovered = this.data?.ids[this.hovered] ?? null;
    return { name: this.data?.hparam.name, points: this.points.length, log: this.x?.kind === "log", hovered };
  }

  set(data: ScatterData): void {
    this.data = data;
    this.later();
  }

  private scales(data: ScatterData): void {
    const sorted = Float64Array.from(data.values.filter((v): v is number => v !== null && Number.isFinite(v))).sort();
    let [lo, hi] = data.smaller
      ? [sorted[0] ?? 0, quantile(sorted, 0.97)]
      : [quantile(sorted, 0.03), sorted[sorted.length - 1] ?? 1];
    if (!(hi > lo)) [lo, hi] = [lo - 0.5, lo + 0.5];
    const log = lo > 0 && hi / lo > 6;
    this.box = [46, 8, this.w - 10, this.h - 26];
    const [left, top, right, bottom] = this.box;
    this.y = scale(log ? "log" : "lin", lo, hi, bottom - 6, top + 6);
    if (data.hparam.kind === "category") {
      this.options = [...new Set(data.hparam.values.filter((v) => v !== null).map(String))].sort();
      this.x = null;
      return;
    }
    const values = data.hparam.values as (number | null)[];
    const [from, to] = extent(values) ?? [0, 1];
    this.x = scale(wantsLog(values) ? "log" : "lin", from, to > from ? to : from + 1, left + 8, right - 8);
  }

  private along(v: number | string, id: number): number {
    if (this.x) return this.x(v as number);
    const [left, , right] = this.box;
    const step = (right - left) / this.options.length;
    return left + (this.options.indexOf(String(v)) + 0.5 + (jitter(id) - 0.5) * 0.6) * step;
  }

  protected draw(p: Palette): void {
    this.colours = p;
    const { data } = this;
    const c = this.layers[0]!;
    c.clearRect(0, 0, this.w, this.h);
    if (!data) return;
    this.scales(data);
    const [left, top, right, bottom] = this.box;
    drawGrid(c, p, this.box, this.x ?? scale("lin", 0, 1, left, right), this.y, this.x ? undefined : []);
    if (!this.x) this.drawOptions(p);
    const { order, bucket } = merit(data.values, data.smaller, 3);
    this.points = [];
    const radius = order.length > 2000 ? 1.6 : order.length > 300 ? 2.1 : 3;
    for (const row of order) {
      const v = data.hparam.values[row];
      if (v == null) continue;
      const id = data.ids[row]!;
      const [x, y] = [this.along(v, id), Math.max(top, Math.min(bottom, this.y(data.values[row]!)))];
      const shown = !data.kept || data.kept(id);
      c.globalAlpha = shown ? 0.8 : 0.25;
      disc(c, x, y, radius, shown ? p.merit[bucket[row]!]! : p.faint);
      if (shown) this.points.push({ row, x, y });
    }
    c.globalAlpha = 1;
    this.drawTop();
  }

  private drawOptions(p: Palette): void {
    const c = this.layers[0]!;
    const [left, top, right, bottom] = this.box;
    const step = (right - left) / this.options.length;
    c.font = FONT;
    c.textAlign = "center";
    c.textBaseline = "top";
    this.options.forEach((o, i) => {
      c.strokeStyle = p.grid;
      line(c, left + i * step + 0.5, top, left + i * step + 0.5, bottom);
      c.fillStyle = p.text3;
      c.fillText(
        o.length * 6 > step ? `${o.slice(0, Math.max(2, Math.floor(step / 7)))}…` : o,
        left + (i + 0.5) * step,
        bottom + 8,
      );
    });
  }

  private drawTop(): void {
    const c = this.layers[1]!;
    const p = this.colours;
    c.clearRect(0, 0, this.w, this.h);
    for (const point of this.points) {
      const id = this.data!.ids[point.row];
      if (id === this.data!.marked || point.row === this.hovered) disc(c, point.x, point.y, 4.5, p.accent, p.surface);
    }
  }

  private look(px: number, py: number): void {
    let found = -1;
    let least = 14 * 14;
    for (const { row, x, y } of this.points) {
      const distance = (x - px) ** 2 + (y - py) ** 2;
      if (distance < least) {
        least = distance;
        found = row;
      }
    }
    this.hover(found, px, py);
  }

  /** The arrow keys walk through the dots from left to right; Enter is a click on one. */
  private key(event: KeyboardEvent): void {
    const sorted = [...this.points].sort((a, b) => a.x - b.x || a.row - b.row);
    const at = sorted.findIndex((p) => p.row === this.hovered);
    const to = placeAfter(event.key, at, sorted.length);
    if (to === null && (event.key !== "Enter" || at < 0)) return;
    event.preventDefault();
    event.stopPropagation();
    if (to === null) this.told.onPick(this.data!.ids[sorted[at]!.row]!);
    else this.hover(sorted[to]!.row, sorted[to]!.x, sorted[to]!.y);
  }

  private hover(row: number, px = 0, py = 0): void {
    if (row === this.hovered) return;
    this.hovered = row;
    this.host.style.cursor = row < 0 ? "default" : "pointer";
    if (this.colours) this.drawTop();
    if (row < 0 || !this.data) return this.say(null);
    const { ids, hparam, values } = this.data;
    this.say(`#${ids[row]}   ${hparam.name} ${value(hparam.values[row])}   ${num(values[row])}`, px, py);
  }
}
