/** The checkpoints of an experiment, and the files that each one holds. */

import { useRef } from "preact/hooks";
import { experiments } from "../data/api.ts";
import type { CheckpointJson } from "../data/types.ts";
import { count, int, num, seconds, size } from "../format.ts";
import { query, setQuery } from "../router.ts";
import { readSort, type TableColumn, writeSort } from "../ui/arrange.ts";
import { ask } from "../ui/dialog.tsx";
import { Ago, Card, Copy, Empty, Load, Skeleton } from "../ui/parts.tsx";
import { Table } from "../ui/table.tsx";
import type { TabProps } from "./experiment.tsx";
import { changesOf, useFetched } from "./useFetched.ts";

export function CheckpointsTab({ data, info }: TabProps) {
  const [loaded, again] = useFetched(() => experiments.checkpoints(info.id), [info.id], changesOf(data));
  const total = loaded.state === "ready" ? (loaded.value.pagination?.total ?? 0) : 0;
  const note = total > 1000 ? `the best 1,000 of ${int(total)}` : "what can be downloaded, or started from";
  return (
    <div class="body">
      <Card flush title="Checkpoints" note={note}>
        <Load of={loaded} again={again} skeleton={<Skeleton rows={10} />}>
          {({ checkpoints }) => (
            <CheckpointTable list={checkpoints} experiment={info.id} metric={info.metric} class="fill deep" withTrial />
          )}
        </Load>
      </Card>
    </div>
  );
}

const bytes = (c: CheckpointJson) => Object.values(c.resources ?? {}).reduce((a: number, b) => a + Number(b), 0);
/** Folders are listed as well, with a slash at their ends. */
const filesOf = (c: CheckpointJson) => Object.entries(c.resources ?? {}).filter(([name]) => !name.endsWith("/"));
const steps = (c: CheckpointJson) => Number(c.metadata?.steps_completed ?? Number.NaN);

export function CheckpointTable(props: {
  list: readonly CheckpointJson[];
  experiment: number;
  metric: string;
  class: string;
  withTrial?: boolean;
}) {
  const { list } = props;
  const of = (r: number) => list[r]!;
  // Rows move when others come, and keep who they are.
  const numbers = useRef(new Map<string, number>()).current;
  const numberOf = (uuid: string) => {
    if (!numbers.has(uuid)) numbers.set(uuid, numbers.size);
    return numbers.get(uuid)!;
  };
  const metricOf = (r: number) => of(r).training?.searcherMetric ?? null;
  const columns: TableColumn[] = [
    {
      key: "uuid",
      title: "Checkpoint",
      width: "minmax(290px, 2fr)",
      searched: true,
      text: (r) => of(r).uuid,
      cell: (r) => <span class="mono">{of(r).uuid}</span>,
    },
    {
      key: "trial",
      title: "Trial",
      width: "84px",
      text: (r) => String(of(r).training?.trialId ?? ""),
      number: (r) => of(r).training?.trialId ?? null,
      cell: (r) => (
        <a class="strong" href={`/experiments/${props.experiment}/trials/${of(r).training?.trialId}/checkpoints`}>
          #{of(r).training?.trialId ?? "–"}
        </a>
      ),
    },
    {
      key: "steps",
      title: "Steps",
      width: "90px",
      right: true,
      descending: true,
      text: (r) => num(steps(of(r))),
      number: (r) => steps(of(r)),
      cell: (r) => num(steps(of(r))),
    },
    {
      key: "metric",
      title: props.metric || "Metric",
      width: "minmax(110px, 1fr)",
      right: true,
      text: (r) => num(metricOf(r)),
      number: metricOf,
      cell: (r) => num(metricOf(r)),
    },
    {
      key: "size",
      title: "Size",
      width: "90px",
      right: true,
      descending: true,
      text: (r) => size(bytes(of(r))),
      number: (r) => bytes(of(r)),
      cell: (r) => size(bytes(of(r))),
    },
    {
      key: "files",
      title: "Files",
      width: "90px",
      right: true,
      descending: true,
      text: (r) => String(filesOf(of(r)).length),
      number: (r) => filesOf(of(r)).length,
      cell: (r) => (
        <button type="button" class="link" title="Which files these are" onClick={() => showFiles(of(r))}>
          {count(filesOf(of(r)).length, "file")}
        </button>
      ),
    },
    {
      key: "state",
      title: "State",
      drop: 2,
      width: "104px",
      text: (r) => (of(r).state ?? "").replace("STATE_", "").toLowerCase(),
      cell: (r) => <span class="tag">{(of(r).state ?? "").replace("STATE_", "").toLowerCase()}</span>,
    },
    {
      key: "reported",
      title: "Reported",
      drop: 1,
      width: "110px",
      right: true,
      descending: true,
      text: () => "",
      number: (r) => seconds(of(r).reportTime),
      cell: (r) => (
        <span class="dim">
          <Ago at={seconds(of(r).reportTime)} />
        </span>
      ),
    },
    {
      key: "get",
      title: "Get it",
      width: "196px",
      text: () => "",
      cell: (r) => (
        <span class="get">
          <Copy text={`det checkpoint download ${of(r).uuid}`} label="Copy command" />
          <a class="link" href={`/checkpoints/${of(r).uuid}`} download={`${of(r).uuid}.zip`}>
            Download
          </a>
        </span>
      ),
    },
  ];
  if (!list.length) {
    return (
      <Empty title="No checkpoint yet">
        <p>A trial saves one with the Core API, and before it is paused.</p>
      </Empty>
    );
  }
  return (
    <Table
      label="Checkpoints"
      class={props.class}
      count={list.length}
      columns={columns.filter((c) => props.withTrial || c.key !== "trial")}
      query=""
      sort={readSort(query.value.get("sort"), { key: "reported", descending: true })}
      onSort={(s) => setQuery({ sort: writeSort(s) })}
      version={list}
      rowKey={(r) => numberOf(of(r).uuid)}
      rowHeight={34}
      onOpen={(r) => showFiles(of(r))}
    />
  );
}

const MOST_FILES = 1000;

function showFiles(checkpoint: CheckpointJson): void {
  const files = filesOf(checkpoint).sort(([a], [b]) => a.localeCompare(b));
  ask({
    title: `Files of checkpoint ${checkpoint.uuid}`,
    wide: true,
    body: files.length ? (
      <div class="file-list" tabIndex={0} role="region" aria-label="Files">
        <table class="plain-table">
          <thead>
            <tr>
              <th scope="col">{count(files.length, "file")}</th>
              <th scope="col">{size(bytes(checkpoint))}</th>
            </tr>
          </thead>
          <tbody>
            {files.slice(0, MOST_FILES).map(([name, length]) => (
              <tr key={name}>
                <th scope="row" class="mono">
                  {name}
                </th>
                <td>{size(Number(length))}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {files.length > MOST_FILES && <p class="note">The first {int(MOST_FILES)} of them.</p>}
      </div>
    ) : (
      <p>It holds no files.</p>
    ),
    answers: [],
  });
}
