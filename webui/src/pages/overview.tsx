/** The overview: curves, the best trial, rungs, parallel coordinates and the table, all under one filter. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Colouring, CurveChart } from "../charts/curves.ts";
import { ParallelChart } from "../charts/parallel.ts";
import type { Brush } from "../charts/parallelAxes.ts";
import type { ExperimentData } from "../data/experiment.ts";
import { importance } from "../data/importance.ts";
import { bestRow, type TrialTable, varying } from "../data/trials.ts";
import type { Experiment } from "../data/types.ts";
import { options, ranges, rangeTerm, withTerm } from "../filter.ts";
import { int, length, num, value } from "../format.ts";
import { useKeys } from "../keys.ts";
import { merit, sampleByMerit } from "../merit.ts";
import { go, query, setQuery } from "../router.ts";
import { ChartHost } from "../ui/chart.tsx";
import { Card, Empty, FilterBox, Load, Segments, Skeleton } from "../ui/parts.tsx";
import type { TabProps } from "./experiment.tsx";
import { Ladder } from "./ladder.tsx";
import { better } from "./searcher.tsx";
import { TrialTableView, trialColumns, useFilter } from "./trialTable.tsx";
import { rungLengths, useRungs } from "./useRungs.ts";

const MOST_AXES = 12;
const MOST_LINES = 1000;

export function OverviewTab({ data, info }: TabProps) {
  const rungs = useRungs(data, null);
  const lengths = useMemo(() => rungLengths(rungs), [rungs]);
  const loaded = data.trials.value;
  const table = loaded.state === "ready" ? loaded.value : null;
  const size = table?.id.length ?? 0;
  const calm = useCalmly(data.version.value, 2000);
  const columns = useMemo(
    () => (table ? trialColumns(table, info, lengths) : []),
    [table, size, lengths, info.metric, info.unit, table?.hparams.length],
  );
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
          <Best info={info} table={table} version={data.version.value} />
          {rungs && lengths.length > 1 && (
            <Card title="Rungs" note={better(info)} class="mini-rungs">
              <Ladder rungs={rungs} info={info} marked={pointed} small />
            </Card>
          )}
        </div>
      </div>
      <ParallelCard table={table} info={info} version={calm} keeps={filter.keepsTrial} q={filter.q} pointed={pointed} />
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
        <Load of={loaded} again={() => void data.load()} skeleton={<Skeleton rows={8} />}>
          {(t) => (
            <TrialTableView
              table={t}
              info={info}
              columns={columns.filter((c) => !c.extra)}
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

/** A number that changes at most once in a while. */
export function useCalmly(version: number, every: number): number {
  const [calm, set] = useState(version);
  const last = useRef(performance.now());
  useEffect(() => {
    const timer = setTimeout(
      () => {
        last.current = performance.now();
        set(version);
      },
      Math.max(0, last.current + every - performance.now()),
    );
    return () => clearTimeout(timer);
  }, [version]);
  return calm;
}

interface CurvesProps {
  data: ExperimentData;
  info: Experiment;
  keeps: ((trial: number) => boolean) | null;
  rungs: readonly number[];
  pointed: number | null;
  point: (trial: number | null) => void;
}

function CurvesCard(props: CurvesProps) {
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
      <Load of={loaded} again={() => void data.load()} skeleton={<Skeleton rows={1} height={430} />}>
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

interface ParallelProps {
  table: TrialTable | null;
  info: Experiment;
  version: number;
  keeps: ((trial: number) => boolean) | null;
  q: string;
  pointed: number | null;
}

function ParallelCard({ table, info, version, keeps, q, pointed }: ParallelProps) {
  const metric = info.metric || "best";
  const input = useMemo(() => {
    if (!table) return null;
    const all = varying(table);
    const most = all.length > MOST_AXES ? importance(all, table.best).slice(0, MOST_AXES) : null;
    const chosen = most ? all.filter((h) => most.some((m) => m.name === h.name)) : all;
    const rows = sampleByMerit(merit(table.best, info.smallerIsBetter).order, MOST_LINES);
    return {
      ids: rows.map((r) => table.id[r]!),
      hparams: chosen.map((h) => ({ ...h, values: rows.map((r) => h.values[r]!) })),
      metric,
      values: rows.map((r) => table.best[r]!),
      smaller: info.smallerIsBetter,
      left: all.length - chosen.length,
    };
  }, [table, version, metric, table?.id.length]);
  const brushes = useMemo(() => {
    const out = new Map<string, Brush>();
    for (const [name, [lo, hi]] of ranges(q)) out.set(name, { lo, hi });
    for (const [name, chosen] of options(q)) if (!out.has(name)) out.set(name, { options: chosen });
    return out;
  }, [q]);
  const brush = (axis: string, to: Brush) => {
    const text =
      to === null
        ? null
        : "lo" in to
          ? rangeTerm(axis, to.lo, to.hi)
          : `${axis}=${to.options.map((o) => (/\s/.test(o) ? `"${o}"` : o)).join(",")}`;
    setQuery({ q: withTerm(new URLSearchParams(location.search).get("q") ?? "", axis, text) });
  };
  if (input && (input.hparams.length === 0 || input.ids.length < 2)) return null;
  const note = input
    ? `drag along an axis to filter this page, double-click to reset${input.left ? `; the ${MOST_AXES} most important of ${MOST_AXES + input.left}` : ""}`
    : "";
  return (
    <Card
      title="Parallel coordinates"
      note={note}
      tools={
        q && (
          <button type="button" class="chip" aria-pressed="true" onClick={() => setQuery({ q: null })}>
            clear filter ×
          </button>
        )
      }
    >
      {!input ? (
        <Skeleton rows={1} height={320} />
      ) : (
        <ChartHost
          name="parallel"
          class="parallel"
          label={`Hyperparameters and ${metric} of ${int(input.ids.length)} trials`}
          make={(host) => new ParallelChart(host, { onBrush: brush, onHover: () => undefined })}
          update={(chart) => {
            chart.set(input);
            chart.filter(keeps, brushes);
            chart.point(pointed);
          }}
          inputs={[input, keeps, brushes, pointed]}
        />
      )}
    </Card>
  );
}
