/** All metrics of a trial over one x. */

import { useMemo, useRef } from "preact/hooks";
import { LinesChart, type Series } from "../charts/lines.ts";
import { trials } from "../data/api.ts";
import type { ExperimentData } from "../data/experiment.ts";
import type { Experiment, TrialMetrics } from "../data/types.ts";
import { useKeys } from "../keys.ts";
import { query, setQuery } from "../router.ts";
import { ChartHost } from "../ui/chart.tsx";
import { Card, Empty, Load, Segments, Skeleton } from "../ui/parts.tsx";
import { changesOf, useFetched } from "./useFetched.ts";

/** What a view of a trial is given. */
export interface PartProps {
  id: number;
  data: ExperimentData;
  info: Experiment;
}

/** The table of trials and the row of one; null while it is not there. */
export function rowOf(data: ExperimentData, id: number) {
  const loaded = data.trials.value;
  void data.version.value;
  const row = loaded.state === "ready" ? loaded.value.row.get(id) : undefined;
  return loaded.state === "ready" && row !== undefined ? { table: loaded.value, row } : null;
}

export function Metrics({ id, data, info }: PartProps) {
  const [loaded, again] = useFetched(() => trials.metrics(id), [id], changesOf(data, id));
  return (
    <Load of={loaded} again={again} skeleton={<Skeleton rows={2} height={240} />}>
      {({ groups }) => <MetricCharts metrics={groups} info={info} />}
    </Load>
  );
}

function MetricCharts({ metrics, info }: { metrics: TrialMetrics; info: Experiment }) {
  const charts = useRef(new Set<LinesChart>());
  const panels = useMemo(() => panelsOf(metrics, info.metric), [metrics]);
  const yKind = query.value.get("y") === "log" ? "log" : "lin";
  useKeys({ l: () => setQuery({ y: yKind === "log" ? null : "log" }) });
  if (!panels.length) {
    return (
      <Card>
        <Empty title="No metrics yet">
          <p>They appear with the first report of the trial.</p>
        </Empty>
      </Card>
    );
  }
  return (
    <Card
      title="Metrics"
      note={`by ${info.unit || "units"}`}
      tools={
        <Segments
          label="y"
          value={yKind}
          options={[
            ["lin", "lin"],
            ["log", "log"],
          ]}
          pick={(y) => setQuery({ y: y === "lin" ? null : y })}
        />
      }
    >
      <div class={`panels n${Math.min(3, panels.length)}`}>
        {panels.map((p) => (
          <figure key={p.name}>
            <figcaption title={p.name}>
              {p.name}
              {p.series.map((s) => (
                <span key={s.name} class={`key hue-${s.hue}`}>
                  {s.name}
                </span>
              ))}
            </figcaption>
            <ChartHost
              name={`metric-${p.name}`}
              class="lines"
              label={`${p.name} by ${info.unit || "units"}`}
              make={(host) => new LinesChart(host, { unit: info.unit, xKind: "lin", yKind })}
              attach={(chart) => {
                charts.current.add(chart);
                chart.onLook = (x) => {
                  for (const other of charts.current) if (other !== chart) other.mark(x);
                };
                return () => charts.current.delete(chart);
              }}
              update={(chart) => chart.set(p.series, { yKind, unit: info.unit })}
              inputs={[p, yKind]}
            />
          </figure>
        ))}
      </div>
    </Card>
  );
}

/** One panel for each metric; training and validation of the same name share one. The searcher's metric is first. */
function panelsOf(metrics: TrialMetrics, first: string): { name: string; series: Series[] }[] {
  const names = new Map<string, Series[]>();
  Object.entries(metrics).forEach(([group, { units, metrics: byName }]) => {
    const hue = { validation: 0, training: 1 }[group] ?? 2;
    for (const [name, y] of Object.entries(byName)) {
      names.set(name, [...(names.get(name) ?? []), { name: group, x: units, y, hue }]);
    }
  });
  const order = (name: string) => (name === first ? "" : name);
  return [...names]
    .map(([name, series]) => ({ name, series }))
    .sort((a, b) => order(a.name).localeCompare(order(b.name)));
}
