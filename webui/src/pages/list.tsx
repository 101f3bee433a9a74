/** All experiments: what runs, how far it is, and what it found. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { stream } from "../app.ts";
import { ExperimentListData } from "../data/list.ts";
import type { ExperimentRow } from "../data/types.ts";
import { compile } from "../filter.ts";
import { count, int } from "../format.ts";
import { useKeys } from "../keys.ts";
import { go, query, setQuery } from "../router.ts";
import { experimentStatus, isOver, isStopping, STATUSES, type Status } from "../status.ts";
import { density } from "../theme.ts";
import { act, askToPause, askToResume, askToStop } from "../ui/actions.tsx";
import { readSort, writeSort } from "../ui/arrange.ts";
import { Card, Empty, FilterBox, Load, Skeleton, useTitle } from "../ui/parts.tsx";
import { PageHead } from "../ui/shell.tsx";
import { Table } from "../ui/table.tsx";
import { columnsOf } from "./listColumns.tsx";

const data = new ExperimentListData();

export function ListPage() {
  useTitle("Experiments");
  useEffect(() => data.follow(stream), []);
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const loaded = data.rows.value;
  const all = loaded.state === "ready" ? loaded.value : [];
  const archived = query.value.get("archived") === "yes";
  const rows = useMemo(() => all.filter((e) => archived || !e.archived), [all, archived]);
  const state = query.value.get("state") ?? "";
  const q = query.value.get("q") ?? "";
  const shown = useMemo(() => rows.filter((e) => !state || experimentStatus(e.state) === state), [rows, state]);
  // What is not listed any more, as it was archived, is not selected either.
  const chosen = rows.filter((e) => selected.has(e.id));
  const columns = useMemo(() => columnsOf(shown), [shown]);
  const problem = useMemo(() => (q ? compile(q, columns).problem : ""), [q, columns]);
  const toggle = (id: number) => {
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    setSelected(next);
  };
  useKeys({
    Escape: () => (selected.size ? setSelected(new Set()) : setQuery({ q: null, state: null })),
    c: () => selected.size > 1 && go(`/compare?e=${[...selected].join(",")}`),
  });

  return (
    <>
      <PageHead
        title="Experiments"
        sub={loaded.state === "ready" ? <Summary rows={rows} /> : " "}
        tools={
          <FilterBox
            label="Filter experiments"
            value={q}
            problem={problem}
            set={(v) => setQuery({ q: v })}
            hint="name, searcher=asha, best<0.3"
          />
        }
      />
      <div class="under-head">
        <StateChips rows={rows} state={state} />
        <div class="grow" />
        {chosen.length > 0 ? (
          <Bulk rows={chosen} clear={() => setSelected(new Set())} />
        ) : (
          <label class="check">
            <input
              type="checkbox"
              checked={archived}
              onChange={() => setQuery({ archived: archived ? null : "yes" })}
            />{" "}
            archived too
          </label>
        )}
      </div>
      <Card flush>
        <Load of={loaded} again={() => data.load()} skeleton={<Skeleton rows={14} height={24} />}>
          {() => (
            <Table
              label="Experiments"
              class="fill"
              count={shown.length}
              columns={columns}
              query={q}
              sort={readSort(query.value.get("sort"), { key: "id", descending: true })}
              onSort={(s) => setQuery({ sort: writeSort(s) })}
              version={data.version.value}
              rowKey={(r) => shown[r]!.id}
              rowHeight={density.value === "compact" ? 32 : 40}
              onOpen={(r) => go(`/experiments/${shown[r]!.id}/overview`)}
              selected={selected}
              onSelect={toggle}
              empty={rows.length ? undefined : <NoExperiments />}
            />
          )}
        </Load>
      </Card>
    </>
  );
}

function Summary({ rows }: { rows: readonly ExperimentRow[] }) {
  const running = rows.filter((e) => !isOver(e.state) && e.state !== "PAUSED");
  const slots = running.reduce((a, e) => a + e.slots, 0);
  return (
    <>
      {count(rows.length, "experiment")}, {int(running.length)} active on {count(slots, "slot")}
    </>
  );
}

function NoExperiments() {
  return (
    <Empty title="No experiment yet">
      <p>An experiment is a search for good hyperparameters of a training script. This starts one:</p>
      <p>
        <code>det experiment create config.yaml .</code>
      </p>
    </Empty>
  );
}

function StateChips({ rows, state }: { rows: readonly ExperimentRow[]; state: string }) {
  const counts = new Map<Status, number>();
  for (const e of rows) counts.set(experimentStatus(e.state), (counts.get(experimentStatus(e.state)) ?? 0) + 1);
  return (
    <div class="chips" role="group" aria-label="Filter by state">
      <button type="button" class="chip" aria-pressed={!state} onClick={() => setQuery({ state: null })}>
        all <em>{int(rows.length)}</em>
      </button>
      {STATUSES.filter((s) => counts.has(s) || s === state).map((s) => (
        <button
          type="button"
          key={s}
          class={`chip s-${s}`}
          aria-pressed={s === state}
          onClick={() => setQuery({ state: s === state ? null : s })}
        >
          <i class="dot" aria-hidden="true" />
          {s} <em>{int(counts.get(s) ?? 0)}</em>
        </button>
      ))}
    </div>
  );
}

function Bulk({ rows, clear }: { rows: readonly ExperimentRow[]; clear: () => void }) {
  const live = rows.filter((e) => !isOver(e.state) && !isStopping(e.state));
  const ids = (of: readonly ExperimentRow[]) => of.map((e) => e.id);
  const active = live.filter((e) => e.state !== "PAUSED");
  const paused = live.filter((e) => e.state === "PAUSED");
  const over = rows.filter((e) => isOver(e.state) && !e.archived);
  const put = rows.filter((e) => e.archived);
  return (
    <div class="bulk" role="toolbar" aria-label="Selected experiments">
      <span>{int(rows.length)} selected</span>
      {rows.length > 1 && (
        <a class="btn small" href={`/compare?e=${ids(rows).join(",")}`}>
          Compare
        </a>
      )}
      {active.length > 0 && (
        <button type="button" class="btn small" onClick={() => askToPause(ids(active), active[0]!.name)}>
          Pause…
        </button>
      )}
      {paused.length > 0 && (
        <button type="button" class="btn small" onClick={() => askToResume(ids(paused), paused[0]!.name)}>
          Resume…
        </button>
      )}
      {live.length > 0 && (
        <button type="button" class="btn small danger" onClick={() => askToStop(ids(live), live[0]!.name)}>
          Stop…
        </button>
      )}
      {over.length > 0 && (
        <button type="button" class="btn small" onClick={() => void act("archive", ids(over))}>
          Archive
        </button>
      )}
      {put.length > 0 && (
        <button type="button" class="btn small" onClick={() => void act("unarchive", ids(put))}>
          Unarchive
        </button>
      )}
      <button type="button" class="link" onClick={clear}>
        Clear
      </button>
    </div>
  );
}
