/** One rung: each result as a dot along the metric, and the cut between those promoted and the others. */

import type { Rung, RungResult } from "../data/types.ts";
import { num } from "../format.ts";
import { BUCKETS } from "../merit.ts";
import type { Palette } from "../palette.ts";
import { type Scale, scale } from "../scales.ts";
import { Chart, disc, jitter, line, placeAfter } from "./base.ts";

/** The step of the ramp of merit for results that went on; unlike the colour of what runs, in both themes. */
const GOOD = Math.round(BUCKETS * 0.58);

const NONE = { promoted: 0, waiting: 0, ended: 0, running: 0 };

/** Room for those that are on the way to the rung. */
const GUTTER = 34;

export interface RungDomain {
  readonly lo: number;
  readonly hi: number;
  readonly log: boolean;
}

export interface RungOptions {
  onPick(trial: number): void;
}

export class RungChart extends Chart {
  private rung: Rung = { length: 0, counts: NONE, results: [], cut: null };
  private domain: RungDomain = { lo: 0, hi: 1, log: false };
  private marked: number | null = null;
  private event = 0;
  private hovered: RungResult | null = null;
  private x!: Scale;
  private end = 0;
  private readonly options: RungOptions;

  constructor(host: HTMLElement, options: RungOptions) {
    super(host, 2);
    this.options = options;
    this.on(host, "pointermove", (e: PointerEvent) => this.look(...this.place(e)));
    this.on(host, "pointerleave", () => this.hover(null));
    this.on(host, "click", () => this.hovered && this.options.onPick(this.hovered[0]));
    this.on(host, "keydown", (e: KeyboardEvent) => this.key(e));
    this.on(host, "blur", () => this.hover(null));
  }

  describe(): Record<string, unknown> {
    const { length, counts, results } = this.rung;
    return {
      length,
      results: Object.values(counts).reduce((a, b) => a + b, 0),
      drawn: results.length,
      promoted: counts.promoted,
      cut: this.rung.cut,
      marked: this.marked,
      hovered: this.hovered?.[0] ?? null,
      event: this.event,
      shown: this.rung.results,
    };
  }

  /** event: after which it was like this. */
  set(rung: Rung, domain: RungDomain, marked: number | null, event: number): void {
    this.event = event;
    this.rung = rung;
    this.domain = domain;
    this.marked = marked;
    this.later();
  }

  private across(id: number): number {
    const pad = Math.min(8, this.h / 4);
    return pad + jitter(id) * (this.h - 2 * pad);
  }

  /** Those on the way have no result yet, and stand beside the axis. */
  private along([id, metric]: RungResult): number {
    if (metric === null) return this.end + 8 + jitter(id * 7 + 3) * (GUTTER - 12);
    const at = this.x(metric);
    return Math.max(4, Math.min(this.end - 4, Number.isNaN(at) ? this.end - 4 : at));
  }

  protected draw(p: Palette): void {
    const c = this.layers[0]!;
    const { lo, hi, log } = this.domain;
    this.end = this.w - (this.rung.results.some((r) => r[1] === null) ? GUTTER : 0);
    this.x = scale(log ? "log" : "lin", lo, hi, 7, this.end - 7);
    c.clearRect(0, 0, this.w, this.h);
    const many = this.rung.results.length > 1500;
    const radius = this.h > 40 ? 2.1 : 1.7;
    const good = p.merit[GOOD]!;
    const look: Record<string, [string, number]> = {
      ended: [p.text3, many ? 0.2 : 0.45],
      waiting: [p.status.waiting, many ? 0.3 : 0.6],
      running: [p.status.running, 0.9],
      promoted: [good, many ? 0.5 : 0.85],
    };
    for (const outcome of ["ended", "waiting", "promoted", "running"]) {
      const [fill, alpha] = look[outcome]!;
      c.globalAlpha = alpha;
      c.fillStyle = fill;
      c.beginPath();
      for (const result of this.rung.results) {
        if (result[2] !== outcome) continue;
        const [x, y] = [this.along(result), this.across(result[0])];
        c.moveTo(x + radius, y);
        c.arc(x, y, radius, 0, 2 * Math.PI);
      }
      c.fill();
    }
    c.globalAlpha = 1;
    if (this.rung.cut !== null) {
      const x = Math.round(this.x(this.rung.cut)) + 0.5;
      c.strokeStyle = p.accent;
      c.lineWidth = 1.5;
      line(c, x, 0, x, this.h);
    }
    this.drawTop(p);
  }

  private drawTop(p: Palette): void {
    const c = this.layers[1]!;
    c.clearRect(0, 0, this.w, this.h);
    const marked = this.rung.results.find((r) => r[0] === this.marked);
    for (const result of [marked, this.hovered]) {
      if (result) disc(c, this.along(result), this.across(result[0]), 4.5, p.accent, p.surface);
    }
    this.last = p;
  }
  private last!: Palette;

  private look(px: number, py: number): void {
    if (!this.x) return;
    let found: RungResult | null = null;
    let least = 12 * 12;
    for (const result of this.rung.results) {
      const distance = (this.along(result) - px) ** 2 + (this.across(result[0]) - py) ** 2;
      if (distance < least) {
        least = distance;
        found = result;
      }
    }
    this.hover(found);
  }

  /** The arrow keys walk through the results along the axis; Enter is a click on one. */
  private key(event: KeyboardEvent): void {
    if (!this.x) return;
    const sorted = [...this.rung.results].sort((a, b) => this.along(a) - this.along(b));
    const id = this.hovered?.[0];
    const at = sorted.findIndex((r) => r[0] === id);
    const to = placeAfter(event.key, at, sorted.length);
    if (to === null && (event.key !== "Enter" || at < 0)) return;
    event.preventDefault();
    event.stopPropagation();
    if (to === null) this.options.onPick(sorted[at]![0]);
    else this.hover(sorted[to]!);
  }

  private hover(result: RungResult | null): void {
    if (result === this.hovered) return;
    this.hovered = result;
    if (this.last) this.drawTop(this.last);
    this.host.style.cursor = result ? "pointer" : "default";
    if (!result) return this.say(null);
    const what = result[1] === null ? "on the way" : `${num(result[1])}   ${result[2]}`;
    this.say(`#${result[0]}   ${what}`, this.along(result), this.across(result[0]));
  }
}
