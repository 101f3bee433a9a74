/** Learning curves of up to some thousand trials: all of them below; running heads and the one looked at above. */

import type { Curve, Curves } from "../data/curves.ts";
import type { Point } from "../data/types.ts";
import { count, length, num } from "../format.ts";
import type { Palette } from "../palette.ts";
import type { Scale, ScaleKind } from "../scales.ts";
import { type Box, Chart, type Context, clipTo, disc, drawGrid } from "./base.ts";
import { Bundles, type Colouring, Ranking, trace } from "./curvePaint.ts";
import { curveScales, nearest } from "./curveTools.ts";

export interface CurveOptions {
  smaller: boolean;
  xKind: ScaleKind;
  yKind: ScaleKind;
  colouring: Colouring;
  unit: string;
  /** Lengths at which trials were compared: ticks of x, and steps of the colouring by rung. */
  rungs: readonly number[];
  hidden: ((trial: number) => boolean) | null;
  running: (trial: number) => boolean;
  onHover(trial: number | null): void;
  onPick(trial: number): void;
}

export class CurveChart extends Chart {
  private options: CurveOptions;
  private curves: Curves = { list: [], byId: new Map(), total: 0, sampling: "" };
  private readonly ranking = new Ranking();
  private x!: Scale;
  private y!: Scale;
  private box: Box = [0, 0, 0, 0];
  private above = 0;
  private hovered: Curve | null = null;
  private hoveredAt = 0;
  private walk = -1;
  private drawn = 0;
  private colours!: Palette;

  constructor(host: HTMLElement, options: CurveOptions) {
    super(host, 2);
    this.options = options;
    this.on(host, "pointermove", (e: PointerEvent) => this.look(...this.place(e)));
    this.on(host, "pointerleave", () => this.hover(null));
    this.on(host, "click", () => this.hovered && this.options.onPick(this.hovered.id));
    this.on(host, "keydown", (e: KeyboardEvent) => this.key(e));
  }

  describe(): Record<string, unknown> {
    return {
      curves: this.curves.list.length,
      drawn: this.drawn,
      above: this.above,
      x: this.x && [this.x.kind, this.x.lo, this.x.hi],
      y: this.y && [this.y.kind, this.y.lo, this.y.hi],
      colouring: this.options.colouring,
      hovered: this.hovered?.id ?? null,
      last: this.curves.list.at(-1)?.x.length ?? 0,
      points: this.curves.list.reduce((a, c) => a + c.x.length, 0),
    };
  }

  set(curves: Curves): void {
    this.curves = curves;
    this.rank();
    this.later();
  }

  change(options: Partial<CurveOptions>): void {
    this.options = { ...this.options, ...options };
    this.later();
  }

  /** Highlights a trial that is looked at elsewhere. */
  point(trial: number | null): void {
    const curve = trial === null ? null : (this.curves.byId.get(trial) ?? null);
    if (curve === this.hovered) return;
    this.hovered = curve;
    this.hoveredAt = curve ? curve.x.length - 1 : 0;
    this.say(null);
    this.drawTop();
  }

  /** Draws what was just added to the curves: only the new pieces, unless they leave the chart. */
  append(points: readonly Point[]): void {
    if (!this.x) return this.later();
    const outside = points.some(([, x, y]) => x > this.x.hi || (this.options.smaller ? y < this.y.lo : y > this.y.hi));
    if (outside || this.ranking.order.length === 0) {
      this.rank();
      return this.later();
    }
    const c = this.layers[0]!;
    c.save();
    clipTo(c, this.box);
    c.lineWidth = 1.1;
    for (const [id, x, y] of points) {
      const curve = this.curves.byId.get(id);
      const n = (curve?.x.length ?? 0) - 2;
      if (!curve || n < 0 || this.options.hidden?.(id)) continue;
      c.strokeStyle = this.colour(curve);
      c.beginPath();
      c.moveTo(this.x(curve.x[n]!), this.y(curve.y[n]!));
      c.lineTo(this.x(x), this.y(y));
      c.stroke();
    }
    c.restore();
    this.drawTop();
  }

  private rank(): void {
    this.ranking.set(this.curves.list, this.options.smaller);
  }

  private colour(curve: Curve): string {
    return this.ranking.colour(curve, this.options.colouring, this.options.rungs, this.colours);
  }

  protected draw(p: Palette): void {
    this.colours = p;
    this.box = [54, 10, this.w - 14, this.h - 30];
    const found = curveScales(this.curves.list, this.options, this.box);
    this.x = found.x;
    this.y = found.y;
    this.above = found.above;
    const c = this.layers[0]!;
    const { xKind, rungs, unit, hidden, colouring } = this.options;
    c.clearRect(0, 0, this.w, this.h);
    drawGrid(c, p, this.box, this.x, this.y, xKind === "log" && rungs.length > 2 ? rungs : undefined);
    c.textAlign = "left";
    c.fillStyle = p.text3;
    c.fillText(unit, 6, this.box[3] + 8);
    this.sayAbove(c);
    const bundles = new Bundles();
    for (const i of this.ranking.order) {
      const curve = this.curves.list[i]!;
      if (curve.x.length) bundles.add(curve, hidden?.(curve.id) ? null : this.colour(curve), this.x, this.y);
    }
    this.drawn = bundles.count;
    bundles.stroke(c, p, this.box, colouring === "merit");
    this.drawTop();
  }

  private sayAbove(c: Context): void {
    if (!this.above) return;
    const where = this.options.smaller ? "above" : "below";
    c.textAlign = "right";
    c.fillText(
      `${count(this.above, "curve")} partly ${where} this`,
      this.box[2],
      this.options.smaller ? 0 : this.box[3] - 14,
    );
  }

  private drawTop(): void {
    const c = this.layers[1]!;
    if (!this.x) return;
    const p = this.colours;
    c.clearRect(0, 0, this.w, this.h);
    c.save();
    clipTo(c, this.box);
    for (const curve of this.curves.list) {
      const n = curve.x.length - 1;
      if (n < 0 || !this.options.running(curve.id) || this.options.hidden?.(curve.id)) continue;
      disc(c, this.x(curve.x[n]!), this.y(curve.y[n]!), 2.6, p.status.running, p.surface);
    }
    const { hovered } = this;
    if (hovered?.x.length) {
      const path = new Path2D();
      trace(path, hovered, this.x, this.y);
      c.strokeStyle = p.surface;
      c.lineWidth = 5.5;
      c.stroke(path);
      c.strokeStyle = p.accent;
      c.lineWidth = 2.4;
      c.stroke(path);
      const i = Math.min(this.hoveredAt, hovered.x.length - 1);
      disc(c, this.x(hovered.x[i]!), this.y(hovered.y[i]!), 4, p.accent, p.surface);
    }
    c.restore();
  }

  private look(px: number, py: number): void {
    if (!this.x) return;
    const hit = nearest(this.curves.list, this.x, this.y, px, py, this.options.hidden);
    this.hover(hit?.curve ?? null, hit?.at ?? 0);
  }

  private hover(curve: Curve | null, at = 0): void {
    if (curve === this.hovered && at === this.hoveredAt) return;
    if (curve !== this.hovered) this.options.onHover(curve?.id ?? null);
    this.hovered = curve;
    this.hoveredAt = at;
    this.drawTop();
    if (!curve) return this.say(null);
    const [x, y] = [curve.x[at]!, curve.y[at]!];
    const text = `#${curve.id}   ${length(x, this.options.unit)}   ${num(y)}   best ${num(curve.best)}`;
    this.say(text, this.x(x), Math.max(this.box[1], this.y(y)));
  }

  private key(event: KeyboardEvent): void {
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    const n = this.ranking.order.length;
    if (event.key === "Enter" && this.hovered) {
      event.preventDefault();
      event.stopPropagation();
      return this.options.onPick(this.hovered.id);
    }
    if (!step || !n) return;
    event.preventDefault();
    event.stopPropagation();
    this.walk = this.walk < 0 ? n - 1 : Math.max(0, Math.min(n - 1, this.walk + step));
    const curve = this.curves.list[this.ranking.order[this.walk]!]!;
    this.hover(curve, curve.x.length - 1);
  }
}
