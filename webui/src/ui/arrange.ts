/** What a table shows, and in which order: columns, sorting, filtering; nothing of the page. */

import type { ComponentChildren } from "preact";
import { type Column, compile } from "../filter.ts";
import { inOrder } from "../order.ts";

export interface TableColumn extends Column {
  readonly title: string;
  /** A track of a CSS grid, such as 80px or minmax(90px, 1fr). */
  readonly width: string;
  readonly right?: boolean;
  /** Its values change with the clock, although nothing is told. */
  readonly moves?: boolean;
  /** The first click sorts the greatest first. */
  readonly descending?: boolean;
  /** Left out where there is no room for all columns: the greatest number first. */
  readonly drop?: number;
  cell(row: number): ComponentChildren;
}

export interface Sort {
  readonly key: string;
  readonly descending: boolean;
}

/** Whether rows come and go, or change places, with the clock. */
export function isMoving(columns: readonly TableColumn[], query: string, sort: Sort): boolean {
  return columns.some((c) => c.moves && (c.key === sort.key || query.includes(c.key)));
}

export function readSort(text: string | null, fallback: Sort): Sort {
  if (!text) return fallback;
  return text.startsWith("-") ? { key: text.slice(1), descending: true } : { key: text, descending: false };
}

export function writeSort(sort: Sort): string {
  return (sort.descending ? "-" : "") + sort.key;
}

/** The rows that pass the filter, in order. */
export function arrange(
  count: number,
  columns: readonly TableColumn[],
  query: string,
  sort: Sort,
  keep?: ((row: number) => boolean) | null,
): number[] {
  const filter = query ? compile(query, columns) : null;
  const rows: number[] = [];
  for (let i = 0; i < count; i++) if ((!keep || keep(i)) && (!filter || filter.test(i))) rows.push(i);
  const column = columns.find((c) => c.key === sort.key);
  if (!column) return rows;
  return inOrder(rows, column.number ? numbers(rows, column) : ranks(rows, column), sort.descending);
}

function numbers(rows: readonly number[], column: TableColumn): Float64Array {
  return Float64Array.from(rows, (r) => column.number!(r) ?? Number.NaN);
}

const collator = new Intl.Collator("en", { numeric: true });

/** The place of each text among all different ones: comparing each pair of rows by language would take far longer. */
function ranks(rows: readonly number[], column: TableColumn): Float64Array {
  const texts = rows.map((r) => column.text(r));
  const different = [...new Set(texts)].sort(collator.compare);
  const rank = new Map<string, number>();
  different.forEach((text, i) => {
    const before = different[i - 1];
    rank.set(text, before !== undefined && collator.compare(before, text) === 0 ? rank.get(before)! : i);
  });
  return Float64Array.from(texts, (text) => rank.get(text)!);
}

/** The sum of what the tracks need at least, so that the head and all rows, each a grid of its own, agree. */
export function leastWidth(tracks: string): number {
  const widths = tracks.match(/minmax\(\s*[\d.]+px|[\d.]+px/g) ?? [];
  return widths.reduce((a, w) => a + Number.parseFloat(w.replace("minmax(", "")), 28);
}

/** The columns that there is room for. */
export function fitting(columns: readonly TableColumn[], width: number): readonly TableColumn[] {
  let kept = columns;
  while (leastWidth(kept.map((c) => c.width).join(" ")) + 34 > width) {
    const most = Math.max(...kept.map((c) => c.drop ?? 0));
    if (!most) break;
    kept = kept.filter((c) => c.drop !== most);
  }
  return kept;
}
