/** The colours of the theme, read once from the style sheet, for what is painted on a canvas. */

import { BUCKETS } from "./merit.ts";
import type { Status } from "./status.ts";
import { STATUSES } from "./status.ts";

export interface Palette {
  text: string;
  text2: string;
  text3: string;
  line: string;
  grid: string;
  surface: string;
  sunken: string;
  accent: string;
  faint: string;
  merit: string[];
  rungs: string[];
  hues: string[];
  status: Record<Status, string>;
}

let cached: Palette | null = null;

export function palette(): Palette {
  if (cached) return cached;
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(name).trim();
  const list = (name: string) => read(name).split(/\s+/);
  cached = {
    text: read("--text"),
    text2: read("--text-2"),
    text3: read("--text-3"),
    line: read("--line"),
    grid: read("--grid"),
    surface: read("--surface"),
    sunken: read("--sunken"),
    accent: read("--accent"),
    faint: read("--faint"),
    merit: ramp(list("--merit"), BUCKETS),
    rungs: list("--rungs"),
    hues: list("--hues"),
    status: Object.fromEntries(STATUSES.map((s) => [s, read(`--s-${s}`)])) as Record<Status, string>,
  };
  return cached;
}

/** Called when the theme has changed, before anything is painted again. */
export function forgetPalette(): void {
  cached = null;
}

/** n colours along the stops. */
export function ramp(stops: string[], n: number): string[] {
  const points = stops.map((c) => [1, 3, 5].map((i) => Number.parseInt(c.slice(i, i + 2), 16)));
  return Array.from({ length: n }, (_, i) => {
    const at = (i / Math.max(1, n - 1)) * (points.length - 1);
    const k = Math.min(points.length - 2, Math.floor(at));
    const mixed = points[k]!.map((a, j) => Math.round(a + (points[k + 1]![j]! - a) * (at - k)));
    return `rgb(${mixed.join(",")})`;
  });
}
