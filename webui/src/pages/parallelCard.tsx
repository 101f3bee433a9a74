/** The card with parallel coordinates, whose brushes are the filter in the address. */

import { useMemo } from "preact/hooks";
import { ParallelChart } from "../charts/parallel.ts";
import type { Brush } from "../charts/parallelAxes.ts";
import { importance } from "../data/importance.ts";
import { type TrialTable, varying } from "../data/trials.ts";
import type { Experiment } from "../data/types.ts";
import { options, ranges, rangeTerm, withTerm } from "../filter.ts";
import { int } from "../format.ts";
import { merit, sampleByMerit } from "../merit.ts";
import { setQuery } from "../router.ts";
import { ChartHost } from "../ui/chart.tsx";
import { Card, Skeleton } from "../ui/parts.tsx";

const MOST_AXES = 12;
const MOST_LINES = 1000;

interface ParallelProps {
  table: TrialTable | null;
  info: Experiment;
  version: number;
  keeps: ((trial: number) => boolean) | null;
  q: string;
  pointed: number | null;
}

export function ParallelCard({ table, info, version, keeps, q, pointed }: ParallelProps) {
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
  }, [table, version, metric, table?.hparams.length]);
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
