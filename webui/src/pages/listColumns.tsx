/** The columns of the list of experiments. */

import { now } from "../app.ts";
import { Spark } from "../charts/spark.ts";
import type { ExperimentRow } from "../data/types.ts";
import { duration, int, num } from "../format.ts";
import { experimentStatus, experimentWord, isOver } from "../status.ts";
import type { TableColumn } from "../ui/arrange.ts";
import { ChartHost } from "../ui/chart.tsx";
import { Ago, Elapsed, StatusMark } from "../ui/parts.tsx";

export function columnsOf(rows: readonly ExperimentRow[]): TableColumn[] {
  const of = (row: number) => rows[row]!;
  const finished = (e: ExperimentRow) =>
    e.trials.completed + e.trials.stopped + e.trials.errored + (e.trials.canceled ?? 0);
  const elapsed = (e: ExperimentRow) => (e.startedAt === null ? null : (e.endedAt ?? now.peek()) - e.startedAt);
  return [
    {
      key: "id",
      title: "ID",
      width: "58px",
      descending: true,
      text: (r) => String(of(r).id),
      number: (r) => of(r).id,
      cell: (r) => <span class="dim">{of(r).id}</span>,
    },
    {
      key: "name",
      title: "Name",
      width: "minmax(180px, 2fr)",
      searched: true,
      text: (r) => [of(r).name, of(r).description, ...of(r).labels].join(" "),
      cell: (r) => (
        <span class="name">
          <a href={`/experiments/${of(r).id}/overview`} title={of(r).description || of(r).name}>
            {of(r).name}
          </a>
          {of(r).labels.map((l) => (
            <span key={l} class="tag">
              {l}
            </span>
          ))}
          {of(r).archived && <span class="tag">archived</span>}
        </span>
      ),
    },
    {
      key: "state",
      title: "State",
      width: "112px",
      text: (r) => experimentStatus(of(r).state),
      cell: (r) => <StatusMark status={experimentStatus(of(r).state)} word={experimentWord(of(r).state)} />,
    },
    {
      key: "progress",
      title: "Trials",
      width: "minmax(190px, 1.2fr)",
      descending: true,
      text: (r) => String(of(r).progress ?? ""),
      number: (r) => of(r).progress,
      cell: (r) => <Progress row={of(r)} finished={finished(of(r))} />,
    },
    {
      key: "searcher",
      title: "Searcher",
      drop: 1,
      width: "124px",
      searched: true,
      text: (r) => of(r).searcher,
      cell: (r) => <span class="tag">{of(r).searcher}</span>,
    },
    {
      key: "best",
      title: "Best",
      width: "minmax(140px, 0.9fr)",
      right: true,
      text: (r) => num(of(r).best),
      number: (r) => of(r).best,
      cell: (r) => (
        <span class="metric" title={of(r).metric}>
          <b>{num(of(r).best)}</b> <em>{of(r).metric}</em>
        </span>
      ),
    },
    {
      key: "spark",
      title: "Best so far",
      drop: 3,
      width: "108px",
      text: () => "",
      number: (r) => of(r).best,
      cell: (r) => <SparkCell row={of(r)} />,
    },
    {
      key: "slots",
      title: "Slots",
      drop: 2,
      width: "62px",
      right: true,
      descending: true,
      text: (r) => String(of(r).slots),
      number: (r) => of(r).slots,
      cell: (r) => of(r).slots || <span class="dim">–</span>,
    },
    {
      key: "duration",
      title: "Duration",
      moves: true,
      width: "88px",
      right: true,
      descending: true,
      text: (r) => duration(elapsed(of(r))),
      number: (r) => elapsed(of(r)),
      cell: (r) => <Elapsed from={of(r).startedAt} to={of(r).endedAt} />,
    },
    {
      key: "user",
      title: "User",
      drop: 4,
      width: "96px",
      searched: true,
      text: (r) => of(r).user,
      cell: (r) => of(r).user,
    },
    {
      key: "started",
      title: "Started",
      width: "104px",
      right: true,
      descending: true,
      text: () => "",
      number: (r) => of(r).startedAt,
      cell: (r) => (
        <span class="dim">
          <Ago at={of(r).startedAt} />
        </span>
      ),
    },
  ];
}

function Progress({ row, finished }: { row: ExperimentRow; finished: number }) {
  const share = row.progress ?? (row.planned ? finished / row.planned : 0);
  return (
    <div class={`progress s-${experimentStatus(row.state)}`}>
      <span
        class="bar"
        role="progressbar"
        aria-label={`Progress of ${row.name}`}
        aria-valuenow={Math.round(share * 100)}
        aria-valuemin={0}
        aria-valuemax={100}
      >
        <b style={{ width: `${Math.min(100, 100 * share)}%` }} />
      </span>
      <span class="counts">
        {int(finished)}
        <em> / {int(row.planned ?? row.trials.total)}</em>
      </span>
    </div>
  );
}

function SparkCell({ row }: { row: ExperimentRow }) {
  return (
    <ChartHost
      name={`spark-${row.id}`}
      class="spark"
      label={`Best ${row.metric} so far`}
      make={(host) => new Spark(host)}
      update={(c) => c.set(row.spark, !isOver(row.state))}
      inputs={[row.spark, row.state]}
    />
  );
}
