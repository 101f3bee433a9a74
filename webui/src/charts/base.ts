/** What all charts share: canvases that fit their host, theme changes, a tooltip, axes. */

import { num } from "../format.ts";
import { type Palette, palette } from "../palette.ts";
import { type Scale, ticks } from "../scales.ts";

export const FONT = '11px "Inter Variable", Inter, system-ui, sans-serif';
export const BOLD = '600 11.5px "Inter Variable", Inter, system-ui, sans-serif';

export type Context = CanvasRenderingContext2D;

/** A chart on layers of canvas in a host element, which gives it its size. */
export abstract class Chart {
  readonly host: HTMLElement;
  protected w = 0;
  protected h = 0;
  protected readonly layers: Context[] = [];
  private readonly tip: HTMLElement;
  private readonly observer: ResizeObserver;
  private frame = 0;
  private readonly aborter = new AbortController();

  constructor(host: HTMLElement, layers: number) {
    this.host = host;
    for (let i = 0; i < layers; i++) {
      const canvas = document.createElement("canvas");
      canvas.className = "layer";
      host.append(canvas);
      const context = canvas.getContext("2d");
      if (!context) throw new Error("this browser gives no canvas");
      this.layers.push(context);
    }
    this.tip = document.createElement("div");
    this.tip.className = "tip";
    this.tip.hidden = true;
    host.append(this.tip);
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(host);
    this.on(window, "themechange", () => this.later());
    charts.set(host, this);
  }

  /** What is drawn, in numbers: for tests, and for people who debug. */
  abstract describe(): Record<string, unknown>;
  protected abstract draw(palette: Palette): void;

  destroy(): void {
    this.aborter.abort();
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
    charts.delete(this.host);
    this.host.replaceChildren();
  }

  protected on<K extends string>(target: EventTarget, name: K, act: (event: never) => void): void {
    target.addEventListener(name, act as EventListener, { signal: this.aborter.signal });
  }

  /** Draws before the next frame, once however often it is called. */
  protected later(): void {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.redraw();
    });
  }

  /** Draws now. */
  protected redraw(): void {
    if (this.w > 20 && this.h > 10) this.draw(palette());
  }

  private fit(): void {
    const { clientWidth: w, clientHeight: h } = this.host;
    if (w === this.w && h === this.h) return;
    this.w = w;
    this.h = h;
    for (const c of this.layers) fitCanvas(c, w, h);
    this.redraw();
  }

  /** Shows lines of text beside a place of the chart; null hides them. */
  protected say(text: string | null, x = 0, y = 0): void {
    this.tip.hidden = text === null;
    if (text === null) return;
    this.tip.textContent = text;
    const { offsetWidth: tw, offsetHeight: th } = this.tip;
    const left = x + 14 + tw > this.w ? x - tw - 14 : x + 14;
    const top = Math.min(this.h - th, Math.max(0, y - th - 8));
    this.tip.style.transform = `translate(${Math.max(0, left)}px, ${top}px)`;
  }

  /** Where the pointer is on the chart. */
  protected place(event: MouseEvent): [number, number] {
    const box = this.host.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
}

/** The place in a row of so many to which a key leads from another, -1 being before the first; null for other keys. */
export function placeAfter(key: string, at: number, many: number): number | null {
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: many - 1 }[key];
  return to === undefined || !many ? null : Math.max(0, Math.min(many - 1, to));
}

const charts = new Map<HTMLElement, Chart>();

/** What every chart on the page says of itself, by the name of its host. */
export function describeAll(): Record<string, Record<string, unknown>> {
  return Object.fromEntries([...charts].map(([host, chart]) => [host.dataset.chart ?? "chart", chart.describe()]));
}

export function fitCanvas(c: Context, w: number, h: number): void {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  c.canvas.width = Math.round(w * ratio);
  c.canvas.height = Math.round(h * ratio);
  c.canvas.style.width = `${w}px`;
  c.canvas.style.height = `${h}px`;
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.lineJoin = "round";
}

/** Left, top, right and bottom of what is plotted, in pixels. */
export type Box = readonly [left: number, top: number, right: number, bottom: number];

/** Light lines and their numbers; no frame. */
export function drawGrid(c: Context, p: Palette, box: Box, x: Scale, y: Scale, xTicks?: readonly number[]): void {
  const [left, top, right, bottom] = box;
  c.font = FONT;
  c.lineWidth = 1;
  c.strokeStyle = p.grid;
  c.fillStyle = p.text3;
  c.textAlign = "right";
  c.textBaseline = "middle";
  for (const t of ticks(y.kind, y.lo, y.hi, Math.max(2, Math.round((bottom - top) / 70)))) {
    const at = Math.round(y(t)) + 0.5;
    if (at < top - 1 || at > bottom + 1) continue;
    line(c, left, at, right, at);
    c.fillText(num(t), left - 8, at);
  }
  c.textAlign = "center";
  c.textBaseline = "top";
  let free = Number.NEGATIVE_INFINITY;
  for (const t of xTicks ?? ticks(x.kind, x.lo, x.hi, Math.max(2, Math.round((right - left) / 110)))) {
    const at = Math.round(x(t)) + 0.5;
    if (at < left - 1 || at > right + 1) continue;
    line(c, at, top, at, bottom);
    const half = c.measureText(num(t)).width / 2;
    if (at - half < free) continue;
    c.fillText(num(t), at, bottom + 8);
    free = at + half + 10;
  }
}

export function line(c: Context, x0: number, y0: number, x1: number, y1: number): void {
  c.beginPath();
  c.moveTo(x0, y0);
  c.lineTo(x1, y1);
  c.stroke();
}

export function clipTo(c: Context, [left, top, right, bottom]: Box): void {
  c.beginPath();
  c.rect(left, top - 1, right - left + 1, bottom - top + 2);
  c.clip();
}

/** A disc with a rim of the surface, so that it stands out among lines. */
export function disc(c: Context, x: number, y: number, radius: number, fill: string, rim?: string): void {
  c.beginPath();
  c.arc(x, y, radius, 0, 2 * Math.PI);
  c.fillStyle = fill;
  c.fill();
  if (!rim) return;
  c.strokeStyle = rim;
  c.lineWidth = 1.5;
  c.stroke();
}

/** The same number between 0 and 1 for the same trial: where its dot stands across a strip. */
export function jitter(id: number): number {
  return (Math.imul(id + 1, 2654435761) >>> 0) / 4294967296;
}
