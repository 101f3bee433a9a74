/**
 * A table of any length: only the rows that are seen exist. It is sorted by its head and walked by keys. Of all rows only
 * one can be reached with Tab, so that nobody has to go through hundreds to leave the table.
 */

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { now } from "../app.ts";
import { int } from "../format.ts";
import { useKeys } from "../keys.ts";
import { arrange, fitting, isMoving, leastWidth, type Sort, type TableColumn } from "./arrange.ts";
import { CONTROLS } from "./roving.ts";

interface TableProps {
  label: string;
  count: number;
  columns: readonly TableColumn[];
  query: string;
  keep?: ((row: number) => boolean) | null;
  sort: Sort;
  onSort: (sort: Sort) => void;
  /** Changes when the values have; live changes are sorted in at most every two seconds. */
  version: unknown;
  rowKey: (row: number) => number;
  rowHeight: number;
  /** Fills the window, or has a height of its own. */
  class?: string;
  onOpen: (row: number) => void;
  onHover?: (row: number | null) => void;
  selected?: ReadonlySet<number>;
  onSelect?: (key: number) => void;
  pointed?: number | null;
  footer?: ComponentChildren;
  empty?: ComponentChildren;
}

const SPARE = 6;
const RESORT_MS = 2000;

/** Keys that lead from a control of one row to that of another. */
const MOVES = { ArrowDown: 1, ArrowUp: 1, PageDown: 1, PageUp: 1 };

/** The version, let through at most every two seconds. */
function useCalm(version: unknown): unknown {
  const [calm, set] = useState(version);
  const last = useRef(0);
  useEffect(() => {
    const wait = Math.max(0, last.current + RESORT_MS - performance.now());
    const timer = setTimeout(() => {
      last.current = performance.now();
      set(version);
    }, wait);
    return () => clearTimeout(timer);
  }, [version]);
  return calm;
}

export function Table(given: TableProps) {
  const [width, setWidth] = useState(Number.POSITIVE_INFINITY);
  const columns = useMemo(() => fitting(given.columns, width), [given.columns, width]);
  const props = { ...given, columns };
  const { rowHeight, rowKey, sort } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const [cursor, setCursor] = useState<number | null>(null);
  const calm = useCalm(props.version);
  const tick = isMoving(given.columns, props.query, sort) ? Math.floor((1000 * now.value) / RESORT_MS) : 0;
  const rows = useMemo(
    () => arrange(props.count, given.columns, props.query, sort, props.keep),
    [props.count, given.columns, props.query, props.keep, sort.key, sort.descending, calm, tick],
  );
  useEffect(() => {
    const observer = new ResizeObserver(() => {
      setHeight(scroller.current?.clientHeight ?? 600);
      setWidth(scroller.current?.clientWidth ?? Number.POSITIVE_INFINITY);
    });
    observer.observe(scroller.current!);
    return () => observer.disconnect();
  }, []);
  const at = cursor === null ? -1 : rows.findIndex((r) => rowKey(r) === cursor);

  /** Which control of its row had the focus when that was left, while the focus is to go to the same one of another. */
  const followed = useRef(-1);
  const moveTo = (place: number) => {
    if (!rows.length) return;
    const to = Math.max(0, Math.min(rows.length - 1, place));
    const key = rowKey(rows[to]!);
    // Nothing will be drawn, and whatever is drawn next must not take the focus.
    if (key === cursor) followed.current = -1;
    setCursor(key);
    const box = scroller.current!;
    const head = box.querySelector<HTMLElement>(".thead")?.offsetHeight ?? 36;
    const y = to * rowHeight;
    if (y < box.scrollTop) box.scrollTop = y;
    else if (y + rowHeight + head > box.scrollTop + box.clientHeight)
      box.scrollTop = y + rowHeight + head - box.clientHeight;
  };
  const page = Math.max(1, Math.floor(height / rowHeight) - 2);
  const walk: Record<string, () => void> = {
    j: () => moveTo(at + 1),
    k: () => moveTo(at < 0 ? 0 : at - 1),
    ArrowDown: () => moveTo(at + 1),
    ArrowUp: () => moveTo(at < 0 ? 0 : at - 1),
    PageDown: () => moveTo(at + page),
    PageUp: () => moveTo(at - page),
    Home: () => moveTo(0),
    End: () => moveTo(rows.length - 1),
  };
  if (at >= 0) {
    walk.Enter = () => props.onOpen(rows[at]!);
    if (props.onSelect) walk.x = () => props.onSelect!(cursor!);
  }
  useKeys({ j: walk.j!, k: walk.k!, ...(at >= 0 ? { Enter: walk.Enter!, ...(walk.x ? { x: walk.x } : {}) } : {}) });
  const onKey = (event: KeyboardEvent) => {
    const act = walk[event.key];
    const control = (event.target as Element).closest(CONTROLS);
    const row = control?.closest(".tr");
    const isHeld = event.repeat && ["Enter", "x"].includes(event.key);
    if (!act || isHeld || event.ctrlKey || event.metaKey || (control && !(row && event.key in MOVES))) return;
    event.preventDefault();
    event.stopPropagation();
    if (row) followed.current = [...row.querySelectorAll(CONTROLS)].indexOf(control!);
    act();
  };
  // From a control of one row to the same of another, once that row is drawn.
  useLayoutEffect(() => {
    if (followed.current < 0) return;
    const controls = scroller.current!.querySelector(".tr.current")?.querySelectorAll<HTMLElement>(CONTROLS);
    if (!controls) return;
    const focused = document.activeElement;
    if (focused === document.body || scroller.current!.contains(focused))
      controls[Math.min(followed.current, controls.length - 1)]?.focus({ preventScroll: true });
    followed.current = -1;
  });

  const first = Math.max(0, Math.floor(top / rowHeight) - SPARE);
  const last = Math.min(rows.length, Math.ceil((top + height) / rowHeight) + SPARE);
  const reached = at >= first && at < last ? at : Math.min(rows.length - 1, Math.ceil(top / rowHeight));
  const tracks = (props.onSelect ? "34px " : "") + columns.map((c) => c.width).join(" ");
  const clickHead = (c: TableColumn) =>
    props.onSort({ key: c.key, descending: sort.key === c.key ? !sort.descending : Boolean(c.descending) });

  return (
    <div
      class={`table ${props.class ?? ""}`}
      role="grid"
      aria-label={props.label}
      aria-rowcount={rows.length + 1}
      aria-colcount={columns.length}
      tabIndex={0}
      onKeyDown={onKey}
      style={{ "--tracks": tracks, "--row": `${rowHeight}px`, "--min": `${leastWidth(tracks)}px` }}
    >
      <div class="tscroll" ref={scroller} onScroll={(e) => setTop(e.currentTarget.scrollTop)}>
        <div class="thead" role="row" aria-rowindex={1}>
          {props.onSelect && <span role="columnheader" aria-label="Selected" />}
          {columns.map((c) => (
            <div
              key={c.key}
              role="columnheader"
              class={`th ${c.right ? "right" : ""}`}
              aria-sort={sort.key === c.key ? (sort.descending ? "descending" : "ascending") : "none"}
            >
              <button type="button" onClick={() => clickHead(c)} title={c.title}>
                {c.title}
                {sort.key === c.key && (
                  <span class="arrow" aria-hidden="true">
                    {sort.descending ? "↓" : "↑"}
                  </span>
                )}
              </button>
            </div>
          ))}
        </div>
        <div
          class="tbody"
          role="rowgroup"
          style={{ height: `${rows.length * rowHeight}px` }}
          onPointerLeave={() => props.onHover?.(null)}
        >
          {rows.slice(first, last).map((row, i) => (
            <Row
              key={rowKey(row)}
              {...props}
              row={row}
              place={first + i}
              current={rowKey(row) === cursor}
              reached={first + i === reached}
              point={() => setCursor(rowKey(row))}
            />
          ))}
        </div>
        {!rows.length && (
          <div role="row">
            <div role="gridcell">
              {props.empty ?? <div class="empty">{props.query ? "No row matches the filter." : "No rows."}</div>}
            </div>
          </div>
        )}
      </div>
      <div class="tfoot">
        <span>
          {rows.length === props.count ? int(rows.length) : `${int(rows.length)} of ${int(props.count)}`}{" "}
          {props.label.toLowerCase()}
        </span>
        {props.footer}
      </div>
    </div>
  );
}

interface RowProps extends TableProps {
  row: number;
  place: number;
  current: boolean;
  /** Whether Tab leads to what is in it. */
  reached: boolean;
  point: () => void;
}

function Row(props: RowProps) {
  const { row, place, columns, rowKey } = props;
  const key = rowKey(row);
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    for (const e of box.current!.querySelectorAll<HTMLElement>(CONTROLS)) e.tabIndex = props.reached ? 0 : -1;
  });
  const open = (event: MouseEvent) => {
    if ((event.target as Element).closest("a, button, input, label")) return;
    props.point();
    if (!getSelection()?.toString()) props.onOpen(row);
  };
  const marks = [
    props.current && "current",
    props.selected?.has(key) && "selected",
    props.pointed === key && "pointed",
  ];
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the grid handles the keys of all of its rows
    <div
      ref={box}
      role="row"
      aria-rowindex={place + 2}
      aria-selected={props.selected ? props.selected.has(key) : undefined}
      class={`tr ${marks.filter(Boolean).join(" ")}`}
      style={{ transform: `translateY(${place * props.rowHeight}px)` }}
      onClick={open}
      onFocusIn={props.point}
      onPointerEnter={() => props.onHover?.(row)}
    >
      {props.onSelect && (
        <span role="gridcell" class="pick">
          <input
            type="checkbox"
            aria-label={`Select ${key}`}
            checked={props.selected?.has(key)}
            onChange={() => props.onSelect!(key)}
          />
        </span>
      )}
      {columns.map((c) => (
        <div key={c.key} role="gridcell" class={`td ${c.right ? "right" : ""}`}>
          {c.cell(row)}
        </div>
      ))}
    </div>
  );
}
