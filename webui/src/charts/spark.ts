/** The best-so-far values of a search in a few pixels. */

import type { Palette } from "../palette.ts";
import { extent, scale } from "../scales.ts";
import { Chart, disc } from "./base.ts";

export class Spark extends Chart {
  private values: readonly number[] = [];
  private live = false;

  constructor(host: HTMLElement) {
    super(host, 1);
  }

  describe(): Record<string, unknown> {
    return { values: this.values.length };
  }

  set(values: readonly number[], live: boolean): void {
    this.values = values;
    this.live = live;
    this.redraw();
  }

  protected draw(p: Palette): void {
    const c = this.layers[0]!;
    c.clearRect(0, 0, this.w, this.h);
    const range = extent(this.values);
    if (!range) return;
    const n = this.values.length;
    const y = scale("lin", range[0], range[1], this.h - 4, 4);
    const x = (i: number) => 2 + (i / Math.max(1, n - 1)) * (this.w - 7);
    c.strokeStyle = this.live ? p.accent : p.text3;
    c.lineWidth = 1.4;
    c.beginPath();
    this.values.forEach((v, i) => {
      const at = range[0] === range[1] ? this.h / 2 : y(v);
      if (i) {
        c.lineTo(x(i), range[0] === range[1] ? this.h / 2 : y(this.values[i - 1]!));
        c.lineTo(x(i), at);
      } else c.moveTo(x(i), at);
    });
    c.stroke();
    const last = range[0] === range[1] ? this.h / 2 : y(this.values[n - 1]!);
    disc(c, x(n - 1), last, 2.2, this.live ? p.accent : p.text3);
  }
}
