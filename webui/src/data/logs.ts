/** Lines of logs as they come from two sides: fetched, and over the stream; and which of them are wanted. */

import type { LogLine, Message } from "./types.ts";

export const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] as const;
const ALL_LEVELS: readonly string[] = ["TRACE", ...LEVELS];
/** As many trials as the master reads the logs of at once. */
const MOST_NAMED = 300;

export function readLine(raw: NonNullable<Message["lines"]>[number], trial: number): LogLine {
  const time = typeof raw.time === "string" ? Date.parse(raw.time) / 1000 : raw.time;
  return {
    trial,
    id: Number(raw.id),
    time: time === null || Number.isNaN(time) ? null : time,
    level: raw.level,
    text: raw.text,
  };
}

const byTime = (a: LogLine, b: LogLine) => (a.time ?? 0) - (b.time ?? 0) || a.trial - b.trial || a.id - b.id;

/** Each line once, in order, and of many only the last ones. */
export function mergeLines(old: readonly LogLine[], news: readonly LogLine[], limit: number): LogLine[] {
  const last = old.at(-1);
  if (last && news.every((l) => (l.trial === last.trial ? l.id > last.id : false))) {
    return [...old, ...news].slice(-limit);
  }
  const known = new Map(old.map((l) => [`${l.trial}:${l.id}`, l]));
  for (const l of news) known.set(`${l.trial}:${l.id}`, l);
  return [...known.values()].sort(byTime).slice(-limit);
}

/** Lines that were read anew, behind those that were known; if nothing joins them, there may be a hole between. */
export function catchUp(old: readonly LogLine[], read: readonly LogLine[], most: number, limit: number): LogLine[] {
  const known = new Set(old.map((l) => `${l.trial}:${l.id}`));
  const joins = read.length < most || read.some((l) => known.has(`${l.trial}:${l.id}`));
  return joins ? mergeLines(old, read, limit) : [...read];
}

/** Whether a line is of a level or of a more severe one; "" is any. */
export function isAtLeast(level: string, least: string): boolean {
  if (!least) return true;
  const rank = ALL_LEVELS.indexOf(level.replace("LOG_LEVEL_", ""));
  // Lines that name no level pass for information.
  return (rank < 0 ? ALL_LEVELS.indexOf("INFO") : rank) >= ALL_LEVELS.indexOf(least);
}

/** The trials that a text such as "3, 7, 10-12" names, in order; null for all. */
export function trialsNamed(text: string): number[] | null {
  const named = new Set<number>();
  for (const [, from, to] of text.matchAll(/(\d+)(?:\s*-\s*(\d+))?/g)) {
    for (let id = Number(from); id <= Number(to ?? from) && named.size < MOST_NAMED; id++) named.add(id);
  }
  return named.size ? [...named].sort((a, b) => a - b) : null;
}
