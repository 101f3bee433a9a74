/** One experiment: its head, its tabs, and what all tabs share. */

import { useEffect } from "preact/hooks";
import { connection, experimentData, now, stream } from "../app.ts";
import type { ExperimentData } from "../data/experiment.ts";
import { type TrialTable, tally } from "../data/trials.ts";
import type { Experiment } from "../data/types.ts";
import { int, num } from "../format.ts";
import { useKeys } from "../keys.ts";
import { go, setQuery } from "../router.ts";
import { experimentStatus, experimentWord, isOver, isStopping, type Status } from "../status.ts";
import { act, askToPause, askToResume, askToStop } from "../ui/actions.tsx";
import { Elapsed, Failure, Skeleton, StatusMark, useTitle } from "../ui/parts.tsx";
import { PageHead } from "../ui/shell.tsx";
import { CheckpointsTab } from "./checkpoints.tsx";
import { CodeTab } from "./code.tsx";
import { CompareTab } from "./compareTrials.tsx";
import { ConfigTab } from "./config.tsx";
import { HparamsTab } from "./hparams.tsx";
import { LogsTab } from "./logs.tsx";
import { OverviewTab } from "./overview.tsx";
import { SearcherTab } from "./searcher.tsx";
import { TrialsTab } from "./trials.tsx";

const TABS = [
  ["overview", "Overview", OverviewTab],
  ["trials", "Trials", TrialsTab],
  ["searcher", "Searcher", SearcherTab],
  ["hparams", "Hyperparameters", HparamsTab],
  ["config", "Config", ConfigTab],
  ["code", "Code", CodeTab],
  ["logs", "Logs", LogsTab],
  ["checkpoints", "Checkpoints", CheckpointsTab],
] as const;

/** What a tab is given. */
export interface TabProps {
  data: ExperimentData;
  info: Experiment;
}

export function ExperimentPage({ id, tab }: { id: number; tab: string }) {
  const data = experimentData(id);
  useEffect(() => {
    if (["overview", "compare"].includes(tab)) data.wantCurves();
  }, [data, tab]);
  useEffect(() => data.follow(stream), [data]);
  const info = data.info.value;
  const keys: Record<string, () => void> = { Escape: () => setQuery({ q: null }) };
  TABS.forEach(([name], i) => {
    keys[String(i + 1)] = () => go(`/experiments/${id}/${name}`);
  });
  useKeys(keys);
  if (info.state === "failed") {
    return (
      <>
        <PageHead crumbs={[["/experiments", "Experiments"]]} title={`Experiment ${id}`} />
        <section class="card">
          <Failure error={info.error} again={() => data.load()} />
        </section>
      </>
    );
  }
  if (info.state === "loading") return <Bones id={id} />;
  return <Loaded data={data} info={info.value} tab={tab} />;
}

function Bones({ id }: { id: number }) {
  return (
    <>
      <PageHead crumbs={[["/experiments", "Experiments"]]} title={`Experiment ${id}`} />
      <section class="card">
        <Skeleton rows={1} height={50} />
      </section>
      <div class="gap" />
      <section class="card">
        <Skeleton rows={1} height={420} />
      </section>
    </>
  );
}

function Loaded({ data, info, tab }: TabProps & { tab: string }) {
  useTitle(`${info.name} · ${num(info.best)}`);
  const Tab = tab === "compare" ? CompareTab : (TABS.find(([name]) => name === tab)?.[2] ?? OverviewTab);
  const kept = (name: string) => {
    const q = new URLSearchParams(location.search).get("q");
    return q && ["overview", "trials", "hparams"].includes(name) ? `?q=${encodeURIComponent(q)}` : "";
  };
  return (
    <>
      <PageHead
        crumbs={[
          ["/experiments", "Experiments"],
          [`/experiments/${info.id}/overview`, String(info.id)],
        ]}
        title={
          <>
            <span class="title-text">{info.name}</span>
            <StatusMark status={experimentStatus(info.state)} word={experimentWord(info.state)} />
            {info.archived && <span class="tag">archived</span>}
          </>
        }
        tools={<Actions info={info} />}
      />
      {info.message && (
        <p class={`message ${info.state === "ERROR" ? "failed" : ""}`} role="status">
          {info.message}
        </p>
      )}
      <Kpis data={data} info={info} />
      <nav class="tabs" aria-label="Views of the experiment">
        {TABS.map(([name, text], i) => (
          <a
            key={name}
            href={`/experiments/${info.id}/${name}${kept(name)}`}
            aria-current={name === tab ? "page" : undefined}
            title={`Key ${i + 1}`}
          >
            {text}
          </a>
        ))}
        {tab === "compare" && (
          <a href={location.pathname + location.search} aria-current="page">
            Compare
          </a>
        )}
      </nav>
      <Tab data={data} info={info} />
    </>
  );
}

function Actions({ info }: { info: Experiment }) {
  const { id, state } = info;
  const live = !isOver(state) && !isStopping(state);
  const paused = state === "PAUSED";
  return (
    <>
      {live && (
        // One button for both, so that whoever has pressed it with the keyboard is still on it.
        <button type="button" class="btn" onClick={() => (paused ? askToResume : askToPause)([id], info.name)}>
          {paused ? "Resume…" : "Pause…"}
        </button>
      )}
      {(live || isStopping(state)) && (
        <button type="button" class="btn danger" onClick={() => askToStop([id], info.name)}>
          Stop…
        </button>
      )}
      {isOver(state) && (
        <button type="button" class="btn" onClick={() => void act(info.archived ? "unarchive" : "archive", [id])}>
          {info.archived ? "Unarchive" : "Archive"}
        </button>
      )}
      <a class="btn primary" href={`/experiments/${id}/config?fork=yes`}>
        Fork
      </a>
    </>
  );
}

const ORDER: readonly Status[] = [
  "completed",
  "stopped",
  "canceled",
  "errored",
  "running",
  "waiting",
  "paused",
  "queued",
];

function Kpis({ data, info }: TabProps) {
  const table = data.trials.value.state === "ready" ? data.trials.value.value : null;
  // Read so that this is drawn anew when the table, which changes in place, has changed.
  void data.version.value;
  const unit = info.unit || "units";
  return (
    <section class="kpis" aria-label="Key figures">
      <div>
        <em title={info.metric}>best {info.metric}</em>
        <b>{num(info.best)}</b>
      </div>
      <Stack table={table} info={info} />
      <div>
        <em>slots</em>
        <b>{int(info.slots)}</b>
      </div>
      {!isOver(info.state) && (
        <div>
          <em>{unit} / min</em>
          <b>
            <PaceNow data={data} isPaused={info.state === "PAUSED"} />
          </b>
        </div>
      )}
      <div>
        <em>elapsed</em>
        <b>
          <Elapsed from={info.startedAt} to={info.endedAt} />
        </b>
      </div>
      <div>
        <em>searcher</em>
        <b>{info.searcher}</b>
      </div>
    </section>
  );
}

/** It changes with the clock; nothing is said of it while nobody would tell of news. */
function PaceNow({ data, isPaused }: { data: ExperimentData; isPaused: boolean }) {
  const isTold = now.value > 0 && connection.value === "live" && !isPaused;
  const pace = isTold ? data.pace.at(performance.now() / 1000) : null;
  return <>{pace === null ? "–" : num(Number(pace.toPrecision(3)))}</>;
}

function Stack({ table, info }: { table: TrialTable | null; info: Experiment }) {
  const counts: Partial<Record<Status, number>> = table
    ? tally(table)
    : {
        completed: info.trials.completed,
        stopped: info.trials.stopped,
        errored: info.trials.errored,
        running: info.trials.running,
      };
  const total = table ? table.id.length : info.trials.total;
  const over = (counts.completed ?? 0) + (counts.stopped ?? 0) + (counts.canceled ?? 0) + (counts.errored ?? 0);
  const planned = Math.max(info.planned ?? 0, total);
  const present = ORDER.filter((s) => counts[s]);
  const legend = present.map((s) => `${int(counts[s])} ${s}`).join(", ");
  return (
    <div class="stack-cell">
      <em>
        {int(over)} of {int(planned)} trials finished
      </em>
      <div class="stack" role="img" aria-label={legend || "no trial yet"}>
        {present.map((s) => (
          <i key={s} class={`s-${s}`} style={{ flexGrow: counts[s] }} title={`${int(counts[s])} ${s}`} />
        ))}
        {planned > total && (
          <i class="rest" style={{ flexGrow: planned - total }} title={`${int(planned - total)} not created yet`} />
        )}
      </div>
      <div class="legend" aria-hidden="true">
        {present.map((s) => (
          <span key={s} class={`s-${s}`}>
            <i class="dot" />
            {int(counts[s])} {s}
          </span>
        ))}
      </div>
    </div>
  );
}
