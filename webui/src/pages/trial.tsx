/** One trial: its metrics, hyperparameters, log, checkpoints, and all that was decided about it. */

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { experimentData, stream } from "../app.ts";
import { ScatterChart } from "../charts/scatter.ts";
import { experiments, trials } from "../data/api.ts";
import type { ExperimentData } from "../data/experiment.ts";
import { type TrialTable, varying } from "../data/trials.ts";
import type { Experiment } from "../data/types.ts";
import { clock, num, value } from "../format.ts";
import { useKeys } from "../keys.ts";
import { go } from "../router.ts";
import { MEANING } from "../status.ts";
import { askToStopTrial } from "../ui/actions.tsx";
import { ChartHost } from "../ui/chart.tsx";
import { Card, Elapsed, Empty, Failure, Load, Skeleton, StatusMark, useTitle } from "../ui/parts.tsx";
import { PageHead } from "../ui/shell.tsx";
import { CheckpointTable } from "./checkpoints.tsx";
import { LogCard } from "./logs.tsx";
import { DecisionText } from "./searcher.tsx";
import { Metrics, type PartProps, rowOf } from "./trialMetrics.tsx";
import { useCalmly } from "./useCalmly.ts";
import { changesOf, useFetched } from "./useFetched.ts";

const TABS = [
  ["metrics", "Metrics"],
  ["hparams", "Hyperparameters"],
  ["logs", "Logs"],
  ["checkpoints", "Checkpoints"],
  ["history", "History"],
] as const;

export function TrialPage({ experiment, id, tab }: { experiment: number; id: number; tab: string }) {
  const data = experimentData(experiment);
  useEffect(() => data.follow(stream), [data]);
  const keys: Record<string, () => void> = {};
  TABS.forEach(([name], i) => {
    keys[String(i + 1)] = () => go(`/experiments/${experiment}/trials/${id}/${name}`);
  });
  useKeys(keys);
  const info = data.info.value;
  useTitle(`Trial ${id}${info.state === "ready" ? ` · ${info.value.name}` : ""}`);
  return (
    <>
      <Head data={data} id={id} />
      <nav class="tabs" aria-label="Views of the trial">
        {TABS.map(([name, text]) => (
          <a
            key={name}
            href={`/experiments/${experiment}/trials/${id}/${name}`}
            aria-current={name === tab ? "page" : undefined}
          >
            {text}
          </a>
        ))}
      </nav>
      <div class="body">
        {info.state === "failed" && (
          <Card>
            <Failure error={info.error} again={() => data.load()} />
          </Card>
        )}
        {info.state === "loading" && <Skeleton rows={3} height={120} />}
        {info.state === "ready" && <Body tab={tab} id={id} data={data} info={info.value} />}
      </div>
    </>
  );
}

function Body({ tab, id, data, info }: { tab: string; id: number; data: ExperimentData; info: Experiment }) {
  if (tab === "hparams") return <Hparams id={id} data={data} info={info} />;
  if (tab === "logs")
    return <LogCard experiment={info.id} trials={[id]} topic={`log:${id}`} title={`Log of trial ${id}`} />;
  if (tab === "checkpoints") return <Checkpoints id={id} data={data} info={info} />;
  if (tab === "history") return <History id={id} data={data} info={info} />;
  return <Metrics id={id} data={data} info={info} />;
}

function Head({ data, id }: { data: ExperimentData; id: number }) {
  const found = rowOf(data, id);
  const info = data.info.value.state === "ready" ? data.info.value.value : null;
  const status = found?.table.status[found.row];
  const live = status && ["queued", "running", "waiting", "paused"].includes(status);
  const at = found ? found.row : -1;
  const table = found?.table;
  return (
    <>
      <PageHead
        crumbs={[
          ["/experiments", "Experiments"],
          [`/experiments/${data.id}/overview`, info ? `${data.id} ${info.name}` : String(data.id)],
          [`/experiments/${data.id}/trials`, "Trials"],
        ]}
        title={
          <>
            Trial {id} {status && <StatusMark status={status} />}
          </>
        }
        tools={
          live && (
            <button type="button" class="btn danger" onClick={() => askToStopTrial(id)}>
              Stop…
            </button>
          )
        }
      />
      {table && info && (
        <section class="kpis" aria-label="Key figures">
          <Kpi name={`best ${info.metric}`} value={num(table.best[at])} />
          <Kpi name="latest" value={num(table.latest[at])} />
          <Kpi
            name={info.unit || "units"}
            value={`${num(table.units[at])}${info.maxLength ? ` / ${num(info.maxLength)}` : ""}`}
          />
          <Kpi name="time" value={<Elapsed from={table.startedAt[at] ?? null} to={table.endedAt[at] ?? null} />} />
          <Kpi name="restarts" value={String(table.restarts[at])} />
          <Kpi name="checkpoints" value={String(table.checkpoints[at])} />
          <div class="stack-cell">
            <em>state</em>
            <b class="plain">{status ? MEANING[status] : ""}</b>
          </div>
        </section>
      )}
    </>
  );
}

function Kpi({ name, value: shown }: { name: string; value: ComponentChildren }) {
  return (
    <div>
      <em>{name}</em>
      <b>{shown}</b>
    </div>
  );
}

function Hparams(props: PartProps) {
  const { data, id } = props;
  return (
    <Load of={data.trials.value} again={() => data.load()} skeleton={<Skeleton rows={4} height={60} />}>
      {(table) =>
        table.row.has(id) ? (
          <Values {...props} table={table} row={table.row.get(id)!} />
        ) : (
          <Card>
            <Empty title={`There is no trial ${id} here`}>
              <p>
                The trials of experiment {data.id} are in <a href={`/experiments/${data.id}/trials`}>its table</a>.
              </p>
            </Empty>
          </Card>
        )
      }
    </Load>
  );
}

function Values({ id, data, info, table, row }: PartProps & { table: TrialTable; row: number }) {
  const calm = useCalmly(data.version.value, 5000);
  const spread = useMemo(() => varying(table), [table, calm]);
  const fixed = table.hparams.filter((h) => !spread.includes(h));
  return (
    <>
      <Card title="Hyperparameters" note="where this trial stands among all of the experiment">
        <div class="multiples">
          {spread.map((h) => (
            <figure key={h.name}>
              <figcaption title={h.name}>
                {h.name} <b>{value(h.values[row])}</b>
              </figcaption>
              <ChartHost
                name={`scatter-${h.name}`}
                class="scatter"
                focusable
                label={`${info.metric} by ${h.name}; this trial has ${value(h.values[row])}. The arrow keys walk through the trials.`}
                make={(host) =>
                  new ScatterChart(host, { onPick: (other) => go(`/experiments/${info.id}/trials/${other}/hparams`) })
                }
                update={(c) =>
                  c.set({
                    ids: table.id,
                    hparam: h,
                    values: table.best,
                    smaller: info.smallerIsBetter,
                    kept: null,
                    marked: id,
                  })
                }
                inputs={[h, calm, id]}
              />
            </figure>
          ))}
        </div>
      </Card>
      {fixed.length > 0 && (
        <Card title="The same in all trials">
          <dl class="pairs">
            {fixed.map((h) => (
              <div key={h.name}>
                <dt title={h.name}>{h.name}</dt>
                <dd>{value(h.values[row])}</dd>
              </div>
            ))}
          </dl>
        </Card>
      )}
    </>
  );
}

function Checkpoints({ id, data, info }: PartProps) {
  const [loaded, again] = useFetched(() => trials.checkpoints(id), [id], changesOf(data, id));
  return (
    <Card flush title="Checkpoints">
      <Load of={loaded} again={again}>
        {({ checkpoints }) => (
          <CheckpointTable list={checkpoints} experiment={info.id} metric={info.metric} class="half" />
        )}
      </Load>
    </Card>
  );
}

/** Its story; what it reported again and again is left out unless it is asked for. */
function Story({ sentences }: { sentences: readonly string[] }) {
  const [all, setAll] = useState(false);
  const shown = all
    ? sentences
    : sentences.filter((s) => !/ reported (progress|(training|validation) metrics)/.test(s));
  return (
    <Card
      title="Story"
      note="what was asked of it, and what it did"
      tools={
        <label class="check">
          <input type="checkbox" checked={all} onChange={() => setAll(!all)} /> reports too
        </label>
      }
    >
      <ol class="story">
        {shown.map((s) => (
          <li key={s}>{s}</li>
        ))}
      </ol>
      {!sentences.length && <p class="note">Nothing to tell yet.</p>}
    </Card>
  );
}

function History({ id, data, info }: PartProps) {
  const read = async () => {
    const [story, decided] = await Promise.all([
      trials.story(id),
      experiments.decisions(info.id, { trial: id, limit: 200 }),
    ]);
    return { story: story.sentences, decisions: [...decided.decisions].reverse() };
  };
  const [loaded, again] = useFetched(read, [id], changesOf(data, id));
  return (
    <Load of={loaded} again={again}>
      {({ story, decisions }) => (
        <div class="halves">
          <Card title="Decisions about this trial" note="oldest first">
            <ol class="decisions plain" aria-label="Decisions about this trial">
              {decisions.map((d) => (
                <li key={d.number}>
                  <time>{d.at === null ? "" : clock(d.at)}</time>
                  <i class="mark m-quiet" aria-hidden="true" />
                  <DecisionText
                    decision={{ ...d, operations: d.operations.filter((o) => o.trial === id) }}
                    info={info}
                  />
                  <a
                    class="event-no"
                    href={`/experiments/${info.id}/searcher?event=${d.event}`}
                    title="Show the rungs as they were at this event"
                  >
                    {d.event}
                  </a>
                </li>
              ))}
            </ol>
            {!decisions.length && <p class="note">None yet.</p>}
          </Card>
          <Story sentences={story} />
        </div>
      )}
    </Load>
  );
}
