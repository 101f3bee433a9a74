/** What the hyperparameters do: how much each matters, each against the metric, and two against each other. */

import { useMemo } from "preact/hooks";
import { HeatChart } from "../charts/heat.ts";
import { ScatterChart } from "../charts/scatter.ts";
import { importance } from "../data/importance.ts";
import { type TrialTable, varying } from "../data/trials.ts";
import type { Experiment } from "../data/types.ts";
import { int } from "../format.ts";
import { go, query, setQuery } from "../router.ts";
import { ChartHost } from "../ui/chart.tsx";
import { Card, Empty, FilterBox, Load, Skeleton } from "../ui/parts.tsx";
import type { TabProps } from "./experiment.tsx";
import { trialColumns, useFilter } from "./trialTable.tsx";
import { useCalmly } from "./useCalmly.ts";

const NO_RUNGS: readonly number[] = [];

export function HparamsTab({ data, info }: TabProps) {
  const calm = useCalmly(data.version.value, 5000);
  return (
    <div class="body">
      <Load of={data.trials.value} again={() => data.load()} skeleton={<Skeleton rows={3} height={180} />}>
        {(table) => <Views table={table} info={info} version={calm} />}
      </Load>
    </div>
  );
}

function Views({ table, info, version }: { table: TrialTable; info: Experiment; version: number }) {
  const columns = useMemo(
    () => trialColumns(table, info, NO_RUNGS, true),
    [table, table.id.length, table.hparams.length],
  );
  const filter = useFilter(table, columns, version);
  const hparams = useMemo(() => varying(table), [table, version]);
  const metric = useMemo(
    () => (filter.keepsRow ? table.best.map((v, r) => (filter.keepsRow!(r) ? v : null)) : table.best.slice()),
    [table, version, filter.keepsRow],
  );
  const weights = useMemo(() => importance(hparams, metric), [hparams, metric]);
  const known = metric.filter((v) => v !== null).length;
  if (!hparams.length || known < 2) {
    return (
      <Card>
        <Empty title="Nothing to compare yet">
          <p>
            This shows how the metric depends on the hyperparameters, once two trials with different ones have been
            validated.
          </p>
        </Empty>
      </Card>
    );
  }
  const sorted = weights.map((w) => hparams.find((h) => h.name === w.name)!);
  const one = sorted.find((h) => h.name === query.value.get("a")) ?? sorted[0]!;
  const two = sorted.find((h) => h.name === query.value.get("b")) ?? sorted.find((h) => h !== one) ?? one;
  const choose = (name: "a" | "b", value: string) => (
    <select
      aria-label={name === "a" ? "Across" : "Upwards"}
      value={value}
      onChange={(e) => setQuery({ [name]: e.currentTarget.value })}
    >
      {sorted.map((h) => (
        <option key={h.name} value={h.name}>
          {h.name}
        </option>
      ))}
    </select>
  );
  return (
    <>
      <div class="halves">
        <Card title="Importance" note={`of ${int(known)} trials; by ranks, each hyperparameter alone`}>
          <ul class="bars">
            {weights.map((w) => (
              <li key={w.name}>
                <span title={w.name}>{w.name}</span>
                <span class="track">
                  <b style={{ width: `${100 * (w.share / (weights[0]!.share || 1))}%` }} />
                </span>
                <em>{Math.round(100 * w.share)} %</em>
              </li>
            ))}
          </ul>
        </Card>
        <Card
          title="Two at a time"
          note="the best of each cell"
          tools={
            <>
              {choose("a", one.name)} × {choose("b", two.name)}
            </>
          }
        >
          <ChartHost
            name="heat"
            class="heat"
            label={`Best ${info.metric} by ${one.name} and ${two.name}`}
            make={(host) => new HeatChart(host)}
            update={(c) => c.set({ x: one, y: two, values: metric, smaller: info.smallerIsBetter, kept: null })}
            inputs={[one, two, metric]}
          />
        </Card>
      </div>
      <Card
        title={`Each against ${info.metric}`}
        tools={
          <FilterBox
            label="Filter trials"
            value={filter.q}
            problem={filter.problem}
            set={(q) => setQuery({ q })}
            hint="lr<1e-3 optimizer=adamw"
          />
        }
      >
        <div class="multiples">
          {sorted.slice(0, 24).map((h) => (
            <figure key={h.name}>
              <figcaption title={h.name}>{h.name}</figcaption>
              <ChartHost
                name={`scatter-${h.name}`}
                class="scatter"
                focusable
                label={`${info.metric} by ${h.name}. The arrow keys walk through the trials.`}
                make={(host) =>
                  new ScatterChart(host, { onPick: (id) => go(`/experiments/${info.id}/trials/${id}/metrics`) })
                }
                update={(c) =>
                  c.set({
                    ids: table.id,
                    hparam: h,
                    values: table.best,
                    smaller: info.smallerIsBetter,
                    kept: filter.keepsTrial,
                    marked: null,
                  })
                }
                inputs={[h, metric, filter.keepsTrial]}
              />
            </figure>
          ))}
        </div>
      </Card>
    </>
  );
}
