/** How curves are coloured, and drawn in bundles of one colour: a stroke for each curve would take far longer. */

import type { Curve } from "../data/curves.ts";
import { type Merit, merit } from "../merit.ts";
import type { Palette } from "../palette.ts";
import type { Scale } from "../scales.ts";
import { type Box, type Context, clipTo } from "./base.ts";
import { rungOf } from "./curveTools.ts";

export type Colouring = "merit" | "rung" | "trial";

/** More curves than this are drawn thin, the bad ones thinnest. */
const MANY = 200;

/** The order of curves from the worst to the best, and the colours that follow from it. */
export class Ranking {
  private ranked: Merit = { order: new Uint32Array(), bucket: new Uint8Array() };
  private place = new Map<number, number>();

  set(list: readonly Curve[], smaller: boolean): void {
    this.ranked = merit(
      list.map((c) => c.best),
      smaller,
    );
    this.place = new Map(list.map((c, i) => [c.id, i]));
  }

  get order(): Uint32Array {
    return this.ranked.order;
  }

  colour(curve: Curve, colouring: Colouring, rungs: readonly number[], p: Palette): string {
    if (colouring === "trial") return p.hues[curve.id % p.hues.length]!;
    if (colouring === "merit") return p.merit[this.ranked.bucket[this.place.get(curve.id) ?? -1] ?? 0]!;
    return p.rungs[Math.min(rungOf(curve, rungs), p.rungs.length - 1)]!;
  }
}

/** Adds a curve to a path; one point alone becomes a short line. */
export function trace(path: Path2D, curve: Curve, x: Scale, y: Scale): void {
  path.moveTo(x(curve.x[0]!), y(curve.y[0]!));
  for (let i = 1; i < curve.x.length; i++) path.lineTo(x(curve.x[i]!), y(curve.y[i]!));
  if (curve.x.length === 1) path.lineTo(x(curve.x[0]!) + 3, y(curve.y[0]!));
}

/** Curves of one colour each, those that are added last on top; and faint ones below all. */
export class Bundles {
  private readonly shown = new Map<string, Path2D>();
  private readonly faint = new Path2D();
  count = 0;

  /** colour: null for one that the filter hides. */
  add(curve: Curve, colour: string | null, x: Scale, y: Scale): void {
    if (colour === null) return trace(this.faint, curve, x, y);
    this.count++;
    let path = this.shown.get(colour);
    if (!path) {
      path = new Path2D();
      this.shown.set(colour, path);
    }
    trace(path, curve, x, y);
  }

  stroke(c: Context, p: Palette, box: Box, isByMerit: boolean): void {
    c.save();
    clipTo(c, box);
    c.strokeStyle = p.faint;
    c.globalAlpha = 0.5;
    c.lineWidth = 0.7;
    c.stroke(this.faint);
    const many = this.count > MANY;
    let k = 0;
    for (const [colour, path] of this.shown) {
      const good = isByMerit ? k++ / Math.max(1, this.shown.size - 1) : 0.6;
      c.strokeStyle = colour;
      c.globalAlpha = many ? 0.35 + 0.6 * good : 0.92;
      c.lineWidth = many ? 0.7 + 0.9 * good * good : 1.2 + 0.4 * good;
      c.stroke(path);
    }
    c.restore();
  }
}
