/** The rung ladder: the longest rung on top, all results on one axis of the metric. */

import { useMemo } from "preact/hooks";
import { RungChart, type RungDomain } from "../charts/rungs.ts";
import type { Bracket, Experiment, Rung, Rungs } from "../data/types.ts";
import { count, int, length, num } from "../format.ts";
import { go } from "../router.ts";
import { quantile } from "../scales.ts";
import { ChartHost } from "../ui/chart.tsx";

interface LadderProps {
  rungs: Rungs;
  info: Experiment;
  marked: number | null;
  small?: boolean;
}

export function Ladder({ rungs, info, marked, small }: LadderProps) {
  const domain = useMemo(() => domainOf(rungs, info.smallerIsBetter), [rungs]);
  const brackets = small ? [merged(rungs.brackets)] : rungs.brackets;
  return (
    <div class={`brackets ${small ? "small" : ""} ${brackets.length > 1 ? "several" : ""}`}>
      {brackets.map((b, i) => (
        <div key={b.bracket ?? i} class="bracket">
          {brackets.length > 1 && <h3>bracket {b.bracket ?? i}</h3>}
          {[...b.rungs]
            .map((rung, k) => ({ rung, k, top: k === b.rungs.length - 1 }))
            .reverse()
            .map(({ rung, k, top }) => (
              <RungRow
                key={rung.length}
                {...{ rung, k, top, info, domain, marked, small }}
                event={rungs.event}
                name={`rung-${b.bracket ?? i}-${k}`}
              />
            ))}
          {!small && <Axis domain={domain} metric={info.metric} smaller={info.smallerIsBetter} />}
        </div>
      ))}
    </div>
  );
}

interface RowProps {
  rung: Rung;
  k: number;
  top: boolean;
  info: Experiment;
  domain: RungDomain;
  marked: number | null;
  name: string;
  event: number;
  small?: boolean;
}

function RungRow({ rung, k, top, info, domain, marked, name, event, small }: RowProps) {
  const { promoted, running: coming } = rung.counts;
  const known = promoted + rung.counts.waiting + rung.counts.ended;
  const drawn = rung.results.length < known + coming ? `; ${int(rung.results.length)} of them drawn` : "";
  const label = `Rung ${k} at ${length(rung.length, info.unit)}: ${count(known, "result")}, ${promoted} went on, ${coming} on the way${drawn}`;
  return (
    <div class="rung">
      <div class="rung-name">
        <b>{k}</b>
        <span title={length(rung.length, info.unit)}>{length(rung.length, info.unit)}</span>
      </div>
      <ChartHost
        name={name}
        class="strip"
        focusable
        label={`${label}. The arrow keys walk through them.`}
        make={(host) => new RungChart(host, { onPick: (id) => go(`/experiments/${info.id}/trials/${id}/history`) })}
        update={(chart) => chart.set(rung, domain, marked, event)}
        inputs={[rung, domain, marked, event]}
      />
      <div class="rung-count" title={label}>
        <b>{int(known)}</b>
        <em>{top ? "top rung" : `↑ ${int(promoted)}`}</em>
        {coming > 0 && !small && <em class="coming">+ {int(coming)}</em>}
      </div>
    </div>
  );
}

function Axis({ domain, metric, smaller }: { domain: RungDomain; metric: string; smaller: boolean }) {
  const [left, right] = domain.lo < domain.hi ? [domain.lo, domain.hi] : [domain.hi, domain.lo];
  return (
    <div class="rung axis" aria-hidden="true">
      <span />
      <span class="axis-ends">
        <em>{num(left)}</em>
        <em>
          {metric} ({smaller ? "less is better" : "more is better"})
        </em>
        <em>{num(right)}</em>
      </span>
      <span />
    </div>
  );
}

/** One axis for all rungs, so that they can be compared; what diverged stands at its end. */
function domainOf(rungs: Rungs, smaller: boolean): RungDomain {
  const all = rungs.brackets.flatMap((b) => b.rungs.flatMap((r) => r.results.map((x) => x[1])));
  const sorted = Float64Array.from(all.filter((v): v is number => v !== null && Number.isFinite(v))).sort();
  if (!sorted.length) return { lo: 0, hi: 1, log: false };
  const [lo, hi] = smaller
    ? [sorted[0]!, quantile(sorted, 0.985)]
    : [quantile(sorted, 0.015), sorted[sorted.length - 1]!];
  const log = lo > 0 && hi / lo > 4;
  const pad = (hi - lo) * 0.02 || Math.abs(lo) * 0.05 || 1;
  return log ? { lo: lo / 1.04, hi: hi * 1.04, log } : { lo: lo - pad, hi: hi + pad, log };
}

function added(a: Rung["counts"], b: Rung["counts"] | undefined): Rung["counts"] {
  if (!b) return a;
  return {
    promoted: a.promoted + b.promoted,
    waiting: a.waiting + b.waiting,
    ended: a.ended + b.ended,
    running: a.running + b.running,
  };
}

/** All brackets as one, where there is no room for them side by side. */
function merged(brackets: readonly Bracket[]): Bracket {
  if (brackets.length === 1) return brackets[0]!;
  const byLength = new Map<number, Rung>();
  for (const rung of brackets.flatMap((b) => b.rungs)) {
    const known = byLength.get(rung.length);
    byLength.set(rung.length, {
      length: rung.length,
      cut: null,
      counts: added(rung.counts, known?.counts),
      results: [...(known?.results ?? []), ...rung.results],
    });
  }
  return { bracket: null, rungs: [...byLength.values()].sort((a, b) => a.length - b.length) };
}
