/** Lines of a log as they come from two sides: fetched, and over the stream. */

import type { LogLine, Message } from "./types.ts";

export function readLine(raw: NonNullable<Message["lines"]>[number]): LogLine {
  const time = typeof raw.time === "string" ? Date.parse(raw.time) / 1000 : raw.time;
  return {
    id: Number(raw.id),
    time: time === null || Number.isNaN(time) ? null : time,
    level: raw.level,
    text: raw.text,
  };
}

/** Each line once, in order, and of many only the last ones. */
export function mergeLines(old: readonly LogLine[], news: readonly LogLine[], limit: number): LogLine[] {
  const last = old.at(-1)?.id ?? -1;
  if (news.every((l) => l.id > last)) return [...old, ...news].slice(-limit);
  const byId = new Map(old.map((l) => [l.id, l]));
  for (const l of news) byId.set(l.id, l);
  return [...byId.values()].sort((a, b) => a.id - b.id).slice(-limit);
}
