/** What runs and what waits for slots, and for what reason. */

import { useState } from "preact/hooks";
import { notify } from "../app.ts";
import { asMessage, experiments } from "../data/api.ts";
import { experimentOf, isWaiting, trialOf } from "../data/tasks.ts";
import type { TaskSummary } from "../data/types.ts";
import { count, int, seconds } from "../format.ts";
import { go, query, setQuery } from "../router.ts";
import { readSort, type TableColumn, writeSort } from "../ui/arrange.ts";
import { Ago, Card, Empty, Load, Skeleton, StatusMark, useTitle } from "../ui/parts.tsx";
import { PageHead } from "../ui/shell.tsx";
import { Table } from "../ui/table.tsx";
import { useCluster } from "./cluster.tsx";

export function QueuePage() {
  useTitle("Queue");
  const [loaded, again] = useCluster();
  return (
    <>
      <PageHead title="Queue" sub={loaded.state === "ready" ? <Summary tasks={loaded.value.tasks} /> : " "} />
      <div class="body">
        <Card flush>
          <Load of={loaded} again={again} skeleton={<Skeleton rows={8} />}>
            {({ tasks }) => (tasks.length ? <Tasks tasks={tasks} again={again} /> : <Nothing />)}
          </Load>
        </Card>
      </div>
    </>
  );
}

function Nothing() {
  return (
    <Empty title="Nothing runs, and nothing waits">
      <p>
        <code>det experiment create config.yaml .</code> starts a search.
      </p>
    </Empty>
  );
}

function Summary({ tasks }: { tasks: readonly TaskSummary[] }) {
  const waiting = tasks.filter(isWaiting).length;
  return (
    <>
      {count(tasks.length - waiting, "run")} on slots, {int(waiting)} waiting
    </>
  );
}

function Tasks({ tasks, again }: { tasks: readonly TaskSummary[]; again: () => void }) {
  const of = (r: number) => tasks[r]!;
  const order = [...tasks]
    .filter(isWaiting)
    .sort((a, b) => a.priority - b.priority || a.registeredTime.localeCompare(b.registeredTime));
  const position = (r: number) => (isWaiting(of(r)) ? order.indexOf(of(r)) + 1 : 0);
  const columns: TableColumn[] = [
    {
      key: "position",
      title: "Place",
      width: "70px",
      right: true,
      text: (r) => String(position(r)),
      number: position,
      cell: (r) => position(r) || <span class="dim">–</span>,
    },
    {
      key: "state",
      title: "State",
      width: "120px",
      text: (r) => (isWaiting(of(r)) ? "queued" : "running"),
      cell: (r) => <StatusMark status={isWaiting(of(r)) ? "queued" : "running"} />,
    },
    {
      key: "name",
      title: "Run",
      width: "minmax(220px, 2fr)",
      searched: true,
      text: (r) => of(r).name,
      cell: (r) => <RunLink task={of(r)} />,
    },
    {
      key: "slots",
      title: "Slots",
      width: "70px",
      right: true,
      text: (r) => String(of(r).slotsNeeded),
      number: (r) => of(r).slotsNeeded,
      cell: (r) => of(r).slotsNeeded,
    },
    {
      key: "priority",
      title: "Priority",
      width: "150px",
      text: (r) => String(of(r).priority),
      number: (r) => of(r).priority,
      cell: (r) => <Priority task={of(r)} again={again} />,
    },
    {
      key: "why",
      title: "Waits for",
      width: "minmax(200px, 2fr)",
      text: (r) => of(r).waitingFor,
      cell: (r) => <span title={of(r).waitingFor}>{of(r).waitingFor || <span class="dim">–</span>}</span>,
    },
    {
      key: "since",
      title: "Since",
      width: "110px",
      right: true,
      text: () => "",
      number: (r) => seconds(of(r).registeredTime),
      cell: (r) => (
        <span class="dim">
          <Ago at={seconds(of(r).registeredTime)} />
        </span>
      ),
    },
  ];
  return (
    <Table
      label="Runs"
      class="fill"
      count={tasks.length}
      columns={columns}
      query=""
      sort={readSort(query.value.get("sort"), { key: "position", descending: false })}
      onSort={(s) => setQuery({ sort: writeSort(s) })}
      version={tasks}
      rowKey={(r) => r}
      rowHeight={38}
      onOpen={(r) => {
        const [experiment, trial] = [experimentOf(of(r)), trialOf(of(r))];
        if (experiment !== null)
          go(
            trial === null
              ? `/experiments/${experiment}/overview`
              : `/experiments/${experiment}/trials/${trial}/metrics`,
          );
      }}
    />
  );
}

function RunLink({ task }: { task: TaskSummary }) {
  const experiment = experimentOf(task);
  return experiment === null ? (
    <span>{task.name}</span>
  ) : (
    <a href={`/experiments/${experiment}/overview`}>{task.name}</a>
  );
}

/** The priority of the run's experiment: smaller numbers go first. */
function Priority({ task, again }: { task: TaskSummary; again: () => void }) {
  const [busy, setBusy] = useState(false);
  const experiment = experimentOf(task);
  const change = async (by: number) => {
    // Not disabled while it is busy, or whoever presses it with the keyboard would lose their place.
    if (experiment === null || busy) return;
    setBusy(true);
    const priority = Math.max(1, Math.min(99, task.priority + by));
    try {
      await experiments.patch(experiment, { resources: { priority } });
      notify("done", `Experiment ${experiment} has priority ${priority} now.`);
      again();
    } catch (e) {
      notify("failed", asMessage(e));
    } finally {
      setBusy(false);
    }
  };
  return (
    <span class="stepper">
      <button
        type="button"
        aria-label="Sooner"
        title="Sooner: all runs of the experiment"
        disabled={experiment === null}
        aria-disabled={busy}
        onClick={() => void change(-1)}
      >
        ↑
      </button>
      <b>{task.priority}</b>
      <button
        type="button"
        aria-label="Later"
        title="Later: all runs of the experiment"
        disabled={experiment === null}
        aria-disabled={busy}
        onClick={() => void change(1)}
      >
        ↓
      </button>
    </span>
  );
}
