/** All trials, with a chooser of columns and a download. */

import { useMemo } from "preact/hooks";
import { toCsv } from "../csv.ts";
import type { TrialTable } from "../data/trials.ts";
import { query, setQuery } from "../router.ts";
import { arrange, readSort } from "../ui/arrange.ts";
import { Card, FilterBox, Load, Skeleton } from "../ui/parts.tsx";
import { save } from "../ui/save.ts";
import type { TabProps } from "./experiment.tsx";
import { type TrialColumn, TrialTableView, trialColumns, useFilter } from "./trialTable.tsx";
import { useCalmly } from "./useCalmly.ts";
import { MOST_RESULTS, rungLengths, useRungs } from "./useRungs.ts";

export function TrialsTab({ data, info }: TabProps) {
  const { rungs } = useRungs(data, null, MOST_RESULTS.lengths);
  const lengths = useMemo(() => rungLengths(rungs), [rungs]);
  const loaded = data.trials.value;
  const table = loaded.state === "ready" ? loaded.value : null;
  const calm = useCalmly(data.version.value, 2000);
  const all = useMemo(
    () => (table ? trialColumns(table, info, lengths, true) : []),
    [table, calm, table?.hparams.length, lengths, info.metric, info.unit],
  );
  const usual = useMemo(
    () =>
      table
        ? new Set(
            trialColumns(table, info, lengths)
              .filter((c) => !c.extra)
              .map((c) => c.key),
          )
        : new Set<string>(),
    [all],
  );
  const asked = query.value.get("columns");
  const shown = useMemo(() => {
    const wanted = asked === null ? usual : new Set(asked.split(","));
    return all.filter((c) => !c.optional || wanted.has(c.key));
  }, [all, asked]);
  const filter = useFilter(table, all, calm);
  return (
    <div class="body">
      <Card
        flush
        title="Trials"
        tools={
          <>
            <Chooser all={all} shown={shown} />
            {table && (
              <button
                type="button"
                class="btn small"
                onClick={() => download(table, all, info.metric, info.smallerIsBetter, info.id)}
              >
                CSV
              </button>
            )}
            <FilterBox
              label="Filter trials"
              value={filter.q}
              problem={filter.problem}
              set={(q) => setQuery({ q })}
              hint="lr<1e-3 state=running"
            />
          </>
        }
      >
        <Load of={loaded} again={() => data.load()} skeleton={<Skeleton rows={14} />}>
          {(t) => (
            <TrialTableView table={t} info={info} columns={shown} version={data.version.value} class="fill deep" />
          )}
        </Load>
      </Card>
    </div>
  );
}

function Chooser({ all, shown }: { all: readonly TrialColumn[]; shown: readonly TrialColumn[] }) {
  const on = new Set(shown.filter((c) => c.optional).map((c) => c.key));
  const toggle = (key: string) => {
    const next = new Set(on);
    if (!next.delete(key)) next.add(key);
    setQuery({ columns: [...next].join(",") || "none" });
  };
  return (
    <details class="chooser">
      <summary class="btn small">Columns</summary>
      <div class="menu">
        {all
          .filter((c) => c.optional)
          .map((c) => (
            <label key={c.key}>
              <input type="checkbox" checked={on.has(c.key)} onChange={() => toggle(c.key)} /> {c.title}
            </label>
          ))}
        <button type="button" class="link" onClick={() => setQuery({ columns: null })}>
          The usual ones
        </button>
      </div>
    </details>
  );
}

/** Saves the filtered trials as CSV, in the order of the table, with full precision. */
function download(
  table: TrialTable,
  columns: readonly TrialColumn[],
  metric: string,
  smaller: boolean,
  id: number,
): void {
  const q = query.value.get("q") ?? "";
  const sort = readSort(query.value.get("sort"), { key: metric, descending: !smaller });
  const rows = arrange(table.id.length, columns, q, sort).map((r) => columns.map((c) => c.number?.(r) ?? c.text(r)));
  save(`experiment-${id}-trials.csv`, toCsv([columns.map((c) => c.key), ...rows]), "text/csv");
}
