/** The overview: curves, the best trial, rungs, parallel coordinates and the table, all under one filter. */

import { useMemo, useState } from "preact/hooks";
import { bestRow, type TrialTable, varying } from "../data/trials.ts";
import type { Experiment } from "../data/types.ts";
import { length, num, value } from "../format.ts";
import { setQuery } from "../router.ts";
import { Card, Failure, FilterBox, Load, Skeleton } from "../ui/parts.tsx";
import { CurvesCard } from "./curvesCard.tsx";
import type { TabProps } from "./experiment.tsx";
import { Ladder } from "./ladder.tsx";
import { ParallelCard } from "./parallelCard.tsx";
import { better } from "./searcher.tsx";
import { TrialTableView, trialColumns, useFilter } from "./trialTable.tsx";
import { useCalmly } from "./useCalmly.ts";
import { MOST_RESULTS, rungLengths, useRungs } from "./useRungs.ts";

export function OverviewTab({ data, info }: TabProps) {
  const { rungs, failure, again } = useRungs(data, null, MOST_RESULTS.small);
  const lengths = useMemo(() => rungLengths(rungs), [rungs]);
  const loaded = data.trials.value;
  const table = loaded.state === "ready" ? loaded.value : null;
  // The table says why it cannot be read; what is made of it does not seem to be on its way meanwhile.
  const isComing = loaded.state !== "failed";
  const calm = useCalmly(data.version.value, 2000);
  const calmer = useCalmly(data.version.value, 5000);
  // New trials come many times a second, and what depends on all of them is much work.
  const size = useMemo(() => table?.id.length ?? 0, [table, calm]);
  const columns = useMemo(
    () => (table ? trialColumns(table, info, lengths) : []),
    [table, size, lengths, info.metric, info.unit, table?.hparams.length],
  );
  const usual = useMemo(() => columns.filter((c) => !c.extra), [columns]);
  const filter = useFilter(table, columns, calm);
  const [pointed, setPointed] = useState<number | null>(null);
  return (
    <div class="body">
      <div class="main-side">
        <CurvesCard
          data={data}
          info={info}
          keeps={filter.keepsTrial}
          rungs={lengths}
          pointed={pointed}
          point={setPointed}
        />
        <div class="column">
          {isComing && <Best info={info} table={table} version={data.version.value} />}
          {rungs && lengths.length > 1 && (
            <Card title="Rungs" note={better(info)} class="mini-rungs">
              <Ladder rungs={rungs} info={info} marked={pointed} small />
            </Card>
          )}
          {failure && (
            <Card title="Rungs">
              <Failure error={failure} again={again} />
            </Card>
          )}
        </div>
      </div>
      {isComing && (
        <ParallelCard
          table={table}
          info={info}
          version={calmer}
          keeps={filter.keepsTrial}
          q={filter.q}
          pointed={pointed}
        />
      )}
      <Card
        flush
        title="Trials"
        tools={
          <FilterBox
            label="Filter trials"
            value={filter.q}
            problem={filter.problem}
            set={(q) => setQuery({ q })}
            hint="lr<1e-3 state=running"
          />
        }
      >
        <Load of={loaded} again={() => data.load()} skeleton={<Skeleton rows={8} />}>
          {(t) => (
            <TrialTableView
              table={t}
              info={info}
              columns={usual}
              version={data.version.value}
              class="half"
              pointed={pointed}
              onHover={setPointed}
            />
          )}
        </Load>
      </Card>
    </div>
  );
}

function Best({ info, table, version }: { info: Experiment; table: TrialTable | null; version: number }) {
  const row = useMemo(() => (table ? bestRow(table, info.smallerIsBetter) : -1), [table, version]);
  if (!table) {
    return (
      <Card title="Best trial">
        <Skeleton rows={4} />
      </Card>
    );
  }
  if (row < 0) {
    return (
      <Card title="Best trial">
        <p class="note">Nothing has been validated yet.</p>
      </Card>
    );
  }
  const id = table.id[row]!;
  const [known, constant] = [varying(table), table.hparams];
  const shown = (known.length ? known : constant).slice(0, 12);
  return (
    <Card
      title="Best trial"
      tools={
        <a class="accent" href={`/experiments/${info.id}/trials/${id}/metrics`}>
          #{id}
        </a>
      }
      class="best"
    >
      <div class="big">
        <b>{num(table.best[row])}</b>
        <em>
          {info.metric} after {length(table.bestUnits[row] ?? table.units[row], info.unit)}
        </em>
      </div>
      <dl class="pairs">
        {shown.map((h) => (
          <div key={h.name}>
            <dt title={h.name}>{h.name}</dt>
            <dd title={value(h.values[row])}>{value(h.values[row])}</dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}
