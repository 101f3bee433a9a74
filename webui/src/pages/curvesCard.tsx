/** The card with the learning curves of an experiment. */

import { useMemo } from "preact/hooks";
import type { Colouring } from "../charts/curvePaint.ts";
import { CurveChart } from "../charts/curves.ts";
import type { ExperimentData } from "../data/experiment.ts";
import type { Experiment } from "../data/types.ts";
import { int, num } from "../format.ts";
import { useKeys } from "../keys.ts";
import { go, query, setQuery } from "../router.ts";
import { ChartHost } from "../ui/chart.tsx";
import { Card, Empty, Load, Segments, Skeleton } from "../ui/parts.tsx";

interface CurvesProps {
  data: ExperimentData;
  info: Experiment;
  keeps: ((trial: number) => boolean) | null;
  rungs: readonly number[];
  pointed: number | null;
  point: (trial: number | null) => void;
}

export function CurvesCard(props: CurvesProps) {
  const { data, info } = props;
  const loaded = data.curves.value;
  const colouring = (query.value.get("colour") ?? "merit") as Colouring;
  const guess = useMemo(
    () => (loaded.state === "ready" ? suits(loaded.value.list.flatMap((c) => [...c.y.slice(0, 3), c.best])) : "lin"),
    [loaded],
  );
  const xKind =
    query.value.get("x") === "lin" ? "lin" : query.value.get("x") === "log" || props.rungs.length > 1 ? "log" : "lin";
  const yKind = (query.value.get("y") ?? guess) === "log" ? "log" : "lin";
  useKeys({ l: () => setQuery({ x: yKind === "log" ? "lin" : "log", y: yKind === "log" ? "lin" : "log" }) });
  const kinds = [
    ["lin", "lin"],
    ["log", "log"],
  ] as const;
  const tools = (
    <>
      <Segments
        label="colour"
        value={colouring}
        options={[
          ["merit", "merit"],
          ...(props.rungs.length > 1 ? [["rung", "rung"] as const] : []),
          ["trial", "trial"],
        ]}
        pick={(v) => setQuery({ colour: v === "merit" ? null : v })}
      />
      <Segments label="x" value={xKind} options={kinds} pick={(x) => setQuery({ x })} />
      <Segments label="y" value={yKind} options={kinds} pick={(y) => setQuery({ y })} />
    </>
  );
  const note = loaded.state === "ready" ? loaded.value.sampling || `all ${int(loaded.value.list.length)} trials` : "";
  return (
    <Card title="Learning curves" note={note} tools={tools}>
      <Load of={loaded} again={() => data.load()} skeleton={<Skeleton rows={1} height={430} />}>
        {(curves) =>
          curves.list.length === 0 ? (
            <Empty title="No validation yet">
              <p>Curves appear with the first report of {info.metric || "the metric"}.</p>
            </Empty>
          ) : (
            <ChartHost
              name="curves"
              class="curves"
              focusable
              label={`${info.metric} by ${info.unit || "units"} for ${int(curves.total)} trials; best ${num(info.best)}. The arrow keys walk through the trials by rank.`}
              make={(host) =>
                new CurveChart(host, {
                  smaller: info.smallerIsBetter,
                  xKind,
                  yKind,
                  colouring,
                  unit: info.unit,
                  rungs: props.rungs,
                  hidden: null,
                  running: (id) => isRunning(data, id),
                  onHover: props.point,
                  onPick: (id) => go(`/experiments/${info.id}/trials/${id}/metrics`),
                })
              }
              attach={(chart) => {
                const append = (points: Parameters<CurveChart["append"]>[0]) => chart.append(points);
                data.onPoints.add(append);
                return () => data.onPoints.delete(append);
              }}
              update={(chart) => {
                const { keeps } = props;
                chart.change({
                  xKind,
                  yKind,
                  colouring,
                  unit: info.unit,
                  rungs: props.rungs,
                  hidden: keeps && ((id) => !keeps(id)),
                });
                chart.set(curves);
                chart.point(props.pointed);
              }}
              inputs={[curves, xKind, yKind, colouring, props.keeps, props.rungs.join(), info.unit]}
            />
          )
        }
      </Load>
    </Card>
  );
}

/** Losses want a logarithmic axis; what is at or below zero, or hardly changes, does not. */
function suits(values: number[]): "lin" | "log" {
  const finite = values.filter(Number.isFinite);
  const sorted = Float64Array.from(finite).sort();
  const middle = sorted.subarray(0, Math.ceil(sorted.length * 0.985));
  return sorted[0]! > 0 && middle[middle.length - 1]! / middle[0]! > 4 ? "log" : "lin";
}

function isRunning(data: ExperimentData, id: number): boolean {
  const loaded = data.trials.value;
  if (loaded.state !== "ready") return false;
  const row = loaded.value.row.get(id);
  return row !== undefined && loaded.value.status[row] === "running";
}
