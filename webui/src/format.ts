/** Numbers, times and sizes as people read them. */

import { digits, grouping, SEPARATOR } from "./numbers.ts";

const MINUS = "−";

/** A few significant digits; very small and very large ones with an exponent; a dash for nothing. */
export function num(value: number | null | undefined): string {
  if (value == null || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : `${MINUS}∞`;
  const size = Math.abs(value);
  const wanted = digits.value === "all" ? null : Number(digits.value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) {
    const [mantissa = "", exponent = ""] = value
      .toExponential(wanted === null ? undefined : Math.max(2, wanted - 2))
      .split("e");
    const power = exponent.replace("+", "").replace("-", MINUS);
    return `${trimZeros(mantissa).replace("-", MINUS)}e${power}`;
  }
  if (wanted === null) return grouped(String(value)).replace("-", MINUS);
  const text = size >= 10 ** (wanted - 1) ? String(Math.round(value)) : String(Number(value.toPrecision(wanted)));
  return grouped(text).replace("-", MINUS);
}

/** Separators between the thousands of a number that is written out. */
function grouped(text: string): string {
  const [whole = "", fraction] = text.split(".");
  const parted = whole.replace(/\B(?=(\d{3})+$)/g, SEPARATOR[grouping.value]);
  return fraction === undefined ? parted : `${parted}.${fraction}`;
}

function trimZeros(digits: string): string {
  return digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
}

/** A whole number with separators; a dash for nothing. */
export function int(value: number | null | undefined): string {
  return value == null ? "–" : grouped(String(Math.round(value)));
}

/** "1 trial", "2 trials". */
export function count(n: number, word: string, plural = `${word}s`): string {
  return `${int(n)} ${n === 1 ? word : plural}`;
}

/** A length with its unit: "1 epoch", "4 epochs". */
export function length(n: number | null | undefined, unit: string): string {
  const singular =
    n === 1 && unit.endsWith("s") ? (unit.endsWith("tches") ? unit.slice(0, -2) : unit.slice(0, -1)) : unit;
  return `${num(n)} ${singular}`.trim();
}

/** A duration in the two units that matter. */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return "–";
  const s = Math.max(0, Math.round(seconds));
  const [d, h, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  if (d) return `${d}d ${two(h)}h`;
  if (h) return `${h}h ${two(m)}m`;
  return m ? `${m}m ${two(s % 60)}s` : `${s}s`;
}

/** How long ago a moment was; both in seconds since the epoch. */
export function ago(then: number | null | undefined, now: number): string {
  if (then == null) return "–";
  const s = now - then;
  if (s < 45) return "just now";
  if (s < 3600) return `${Math.max(1, Math.round(s / 60))} min ago`;
  if (s < 86400) return `${Math.round(s / 3600)} h ago`;
  if (s < 86400 * 30) return `${Math.round(s / 86400)} d ago`;
  return day(then);
}

/** The local day, as in 31 Jan 2026. */
export function day(at: number): string {
  return new Date(at * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}

/** The local time of day with seconds. */
export function clock(at: number): string {
  return new Date(at * 1000).toLocaleTimeString("en-GB");
}

/** Bytes in the unit that fits. */
export function size(bytes: number | null | undefined): string {
  if (bytes == null) return "–";
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : Number(value.toPrecision(3))} ${units[unit]}`;
}

/** A hyperparameter's value of any kind. */
export function value(v: unknown): string {
  if (v == null) return "–";
  if (typeof v === "number") return num(v);
  return typeof v === "string" ? v : JSON.stringify(v);
}

/** Epoch seconds of an RFC 3339 text. */
export function seconds(text: string | null | undefined): number | null {
  if (!text) return null;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : at / 1000;
}
