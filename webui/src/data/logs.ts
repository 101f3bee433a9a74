/** Lines of logs as they come from two sides: fetched, and over the stream; and which of them are wanted. */

import type { LogLine, Message } from "./types.ts";

export const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] as const;
const ALL_LEVELS: readonly string[] = ["TRACE", ...LEVELS];
/** As many trials as the master reads the logs of at once. */
const MOST_NAMED = 300;

export function readLine(raw: NonNullable<Message["lines"]>[number]): LogLine {
  const time = typeof raw.time === "string" ? Date.parse(raw.time) / 1000 : raw.time;
  return {
    trial: raw.trial,
    id: Number(raw.id),
    time: time === null || Number.isNaN(time) ? null : time,
    level: raw.level,
    text: raw.text,
  };
}

const byTime = (a: LogLine, b: LogLine) => (a.time ?? 0) - (b.time ?? 0) || a.trial - b.trial || a.id - b.id;

/** Each line once, in order, and of many only the last ones. Lines of all logs are numbered together. */
export function mergeLines(old: readonly LogLine[], news: readonly LogLine[], limit: number): LogLine[] {
  let last = old.at(-1);
  const follows = news.every((l) => {
    const isNext = !last || (l.id > last.id && byTime(last, l) < 0);
    last = l;
    return isNext;
  });
  // The last one in time need not be the last that came, so an older number may be known.
  if (follows && old.every((l) => l.id < (news[0]?.id ?? 0))) return [...old, ...news].slice(-limit);
  const known = new Map(old.map((l) => [l.id, l]));
  for (const l of news) known.set(l.id, l);
  return [...known.values()].sort(byTime).slice(-limit);
}

/**
 * The newest lines, which were read anew, behind those up to the number `last` that were known. If as many were read as
 * may be, and all of them are newer, there may be a hole between.
 */
export function catchUp(
  old: readonly LogLine[],
  last: number,
  read: readonly LogLine[],
  most: number,
  limit: number,
): LogLine[] {
  const joins = read.length < most || read.some((l) => l.id <= last);
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
