/** The table of trials, which two tabs show, and the filter that governs all views of an experiment. */

import { useMemo, useState } from "preact/hooks";
import { now } from "../app.ts";
import { type Hparam, type TrialTable, varying } from "../data/trials.ts";
import type { Experiment } from "../data/types.ts";
import { compile } from "../filter.ts";
import { duration, num, value } from "../format.ts";
import { useKeys } from "../keys.ts";
import { go, query, setQuery } from "../router.ts";
import { quantile } from "../scales.ts";
import { density } from "../theme.ts";
import { isMoving, readSort, type TableColumn, writeSort } from "../ui/arrange.ts";
import { Elapsed, StatusMark } from "../ui/parts.tsx";
import { Table } from "../ui/table.tsx";

/** The columns of a table of trials; also what the filter of an experiment knows. */
export function trialColumns(
  table: TrialTable,
  info: Experiment,
  rungs: readonly number[],
  allHparams = false,
): TrialColumn[] {
  const bar = metricBar(table, info.smallerIsBetter);
  const rung = (row: number) => rungs.filter((l) => l <= table.units[row]!).length - 1;
  const fixed: TrialColumn[] = [
    {
      key: "trial",
      title: "Trial",
      width: "84px",
      searched: true,
      text: (r) => String(table.id[r]),
      number: (r) => table.id[r]!,
      cell: (r) => (
        <a class="strong" href={`/experiments/${info.id}/trials/${table.id[r]}/metrics`}>
          #{table.id[r]}
        </a>
      ),
    },
    {
      key: "state",
      title: "State",
      width: "112px",
      searched: true,
      text: (r) => table.status[r]!,
      cell: (r) => <StatusMark status={table.status[r]!} />,
    },
    {
      key: "rung",
      title: "Rung",
      width: "78px",
      descending: true,
      optional: true,
      text: (r) => String(rung(r)),
      number: rung,
      cell: (r) => <Pips reached={rung(r)} of={rungs.length} />,
    },
    {
      key: "units",
      title: info.unit || "Units",
      width: "82px",
      right: true,
      descending: true,
      text: (r) => num(table.units[r]),
      number: (r) => table.units[r]!,
      cell: (r) => num(table.units[r]),
    },
    {
      key: info.metric || "best",
      title: info.metric || "best",
      width: "minmax(130px, 1.1fr)",
      descending: !info.smallerIsBetter,
      text: (r) => num(table.best[r]),
      number: (r) => table.best[r]!,
      cell: (r) =>
        table.best[r] == null ? (
          <span class="dim">–</span>
        ) : (
          <MetricBar share={bar(table.best[r]!)} text={num(table.best[r])} />
        ),
    },
  ];
  const more: TrialColumn[] = [
    plain("latest", "Latest", (r) => table.latest[r]!, num),
    plain("restarts", "Restarts", (r) => table.restarts[r]!, String),
    plain("checkpoints", "Checkpoints", (r) => table.checkpoints[r]!, String),
    {
      ...plain("time", "Time", (r) => timeOf(table, r), duration),
      moves: true,
      cell: (r) => <Elapsed from={table.startedAt[r] ?? null} to={table.endedAt[r] ?? null} />,
    },
  ];
  const hparams = (allHparams ? table.hparams : varying(table)).map(hparamColumn);
  return [
    ...fixed.filter((c) => c.key !== "rung" || rungs.length > 1),
    ...hparams,
    ...more.map((c) => ({ ...c, optional: true, extra: true })),
  ];
}

export interface TrialColumn extends TableColumn {
  /** May be hidden by the column chooser. */
  readonly optional?: boolean;
  /** Hidden unless chosen. */
  readonly extra?: boolean;
}

function timeOf(table: TrialTable, row: number): number | null {
  const [from, to] = [table.startedAt[row], table.endedAt[row]];
  return from == null ? null : (to ?? now.peek()) - from;
}

function plain(
  key: string,
  title: string,
  number: (r: number) => number | null,
  show: (v: number) => string,
): TrialColumn {
  const text = (r: number) => {
    const v = number(r);
    return v === null ? "–" : show(v);
  };
  return { key, title, width: "92px", right: true, descending: true, text, number, cell: text };
}

function hparamColumn(hparam: Hparam): TrialColumn {
  const numeric = hparam.kind === "number";
  return {
    key: hparam.name,
    title: hparam.name,
    width: "minmax(92px, 1fr)",
    right: numeric,
    optional: true,
    searched: !numeric,
    text: (r) => value(hparam.values[r]),
    number: numeric ? (r) => hparam.values[r] as number | null : undefined,
    cell: (r) => value(hparam.values[r]),
  };
}

function metricBar(table: TrialTable, smaller: boolean): (v: number) => number {
  const sorted = Float64Array.from(table.best.filter((v): v is number => v !== null && Number.isFinite(v))).sort();
  const [best, bad] = smaller
    ? [sorted[0] ?? 0, quantile(sorted, 0.9)]
    : [sorted[sorted.length - 1] ?? 1, quantile(sorted, 0.1)];
  return (v) => Math.max(0.02, Math.min(1, 1 - (v - best) / (bad - best || 1)));
}

function MetricBar({ share, text }: { share: number; text: string }) {
  return (
    <span class="metric-bar">
      <b style={{ width: `${100 * share}%` }} />
      <span>{text}</span>
    </span>
  );
}

function Pips({ reached, of }: { reached: number; of: number }) {
  return (
    <span class="pips" role="img" aria-label={reached < 0 ? "no rung reached" : `rung ${reached} of ${of - 1}`}>
      {Array.from({ length: of }, (_, k) => (
        <i key={k} class={k <= reached ? "on" : ""} />
      ))}
    </span>
  );
}

const NO_SORT = { key: "", descending: false };
const CALM_S = 2;

/** The trials that the filter in the address lets through; null lets all through. */
export function useFilter(table: TrialTable | null, columns: readonly TableColumn[], version: unknown) {
  const q = query.value.get("q") ?? "";
  const tick = isMoving(columns, q, NO_SORT) ? Math.floor(now.value / CALM_S) : 0;
  return useMemo(() => {
    if (!q || !table) return { q, problem: "", keepsRow: null, keepsTrial: null };
    const filter = compile(q, columns);
    const keepsTrial = (id: number) => {
      const row = table.row.get(id);
      return row !== undefined && filter.test(row);
    };
    return { q, problem: filter.problem, keepsRow: (row: number) => filter.test(row), keepsTrial };
  }, [q, table, columns, version, tick]);
}

interface TrialTableProps {
  table: TrialTable;
  info: Experiment;
  columns: readonly TrialColumn[];
  version: number;
  class: string;
  onHover?: (trial: number | null) => void;
  pointed?: number | null;
}

export function TrialTableView(props: TrialTableProps) {
  const { table, info, columns } = props;
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const toggle = (id: number) => {
    const next = new Set(selected);
    if (!next.delete(id) && next.size < 10) next.add(id);
    setSelected(next);
  };
  const compare = `/experiments/${info.id}/compare?t=${[...selected].join(",")}`;
  useKeys({ c: () => selected.size > 1 && go(compare) });
  return (
    <Table
      label="Trials"
      class={props.class}
      count={table.id.length}
      columns={columns}
      query={query.value.get("q") ?? ""}
      sort={readSort(query.value.get("sort"), { key: info.metric || "best", descending: !info.smallerIsBetter })}
      onSort={(s) => setQuery({ sort: writeSort(s) })}
      version={props.version}
      rowKey={(r) => table.id[r]!}
      rowHeight={density.value === "compact" ? 27 : 32}
      onOpen={(r) => go(`/experiments/${info.id}/trials/${table.id[r]}/metrics`)}
      onHover={(r) => props.onHover?.(r === null ? null : table.id[r]!)}
      pointed={props.pointed}
      selected={selected}
      onSelect={toggle}
      footer={
        selected.size > 0 && (
          <>
            <span>{selected.size} selected (at most 10)</span>
            {selected.size > 1 && (
              <a class="btn small" href={compare}>
                Compare
              </a>
            )}
            <button type="button" class="link" onClick={() => setSelected(new Set())}>
              Clear
            </button>
          </>
        )
      }
    />
  );
}
