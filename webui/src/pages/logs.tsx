/** Logs: the last lines of some trials as one log, and those that come while somebody watches. */

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { stream } from "../app.ts";
import { LogLines, type WantedLines } from "../data/logLines.ts";
import { LEVELS, trialsNamed } from "../data/logs.ts";
import type { TrialTable } from "../data/trials.ts";
import type { LogLine } from "../data/types.ts";
import { clock, count, int } from "../format.ts";
import { query, setQuery } from "../router.ts";
import { Card, Empty, FilterBox, Load, Segments, Skeleton } from "../ui/parts.tsx";
import type { TabProps } from "./experiment.tsx";
import { useCalmly } from "./useCalmly.ts";

const CALM_MS = 2000;
const TYPING_MS = 250;

type Which = "all" | "running" | "failed" | "chosen";

/** The logs of an experiment: of all of its trials, or of those that are chosen here. */
export function LogsTab({ data, info }: TabProps) {
  const loaded = data.trials.value;
  const calm = useCalmly(data.version.value, CALM_MS);
  const asked = query.value.get("trial") ?? "all";
  const which: Which = asked === "running" || asked === "failed" ? asked : trialsNamed(asked) ? "chosen" : "all";
  const table = loaded.state === "ready" ? loaded.value : null;
  const running = useMemo(() => (table ? those(table, "running") : []), [table, calm]);
  const failed = useMemo(() => (table ? those(table, "errored") : []), [table, calm]);
  const ids = which === "all" ? null : which === "chosen" ? trialsNamed(asked) : which === "failed" ? failed : running;
  return (
    <div class="body">
      <Load of={loaded} again={() => data.load()}>
        {(t) =>
          t.id.length ? (
            <LogCard
              experiment={info.id}
              trials={ids}
              topic={`logs:${info.id}`}
              title="Logs"
              choose={<Chooser which={which} asked={asked} />}
            />
          ) : (
            <Card>
              <Empty title="No trial yet">
                <p>Each trial has a log of its own; it is here once the first one was created.</p>
              </Empty>
            </Card>
          )
        }
      </Load>
    </div>
  );
}

function those(table: TrialTable, status: string): number[] {
  return table.id.filter((_, r) => table.status[r] === status).slice(-300);
}

function Chooser({ which, asked }: { which: Which; asked: string }) {
  const options: [Which, string][] = [
    ["all", "all"],
    ["running", "running"],
    ["failed", "failed"],
  ];
  return (
    <>
      <Segments
        label="trials"
        value={which}
        options={options}
        pick={(v) => setQuery({ trial: v === "all" ? null : v })}
      />
      <form
        class="inline"
        onSubmit={(e) => {
          e.preventDefault();
          setQuery({ trial: String(new FormData(e.currentTarget).get("trials") ?? "") });
        }}
      >
        <label>
          <span class="hidden-label">Trials whose logs are shown</span>
          <input
            key={asked}
            name="trials"
            defaultValue={which === "chosen" ? asked : ""}
            size={9}
            placeholder="3, 7, 10-12"
            onChange={(e) => setQuery({ trial: e.currentTarget.value })}
          />
        </label>
      </form>
    </>
  );
}

interface LogProps {
  experiment: number;
  /** null: all. */
  trials: readonly number[] | null;
  /** The topic that tells their lines. */
  topic: string;
  title: string;
  choose?: ComponentChildren;
}

export function LogCard({ experiment, trials, topic, title, choose }: LogProps) {
  const find = query.value.get("find") ?? "";
  const level = query.value.get("level") ?? "";
  const [follow, setFollow] = useState(true);
  const { lines, note, again } = useLines({ experiment, trials, find, level }, topic);
  return (
    <Card
      title={title}
      note={note}
      tools={
        <>
          {choose}
          <select
            aria-label="Least level that is shown"
            value={level}
            onChange={(e) => setQuery({ level: e.currentTarget.value })}
          >
            <option value="">every level</option>
            {LEVELS.map((l) => (
              <option key={l} value={l}>
                {l.toLowerCase()}
                {l === "CRITICAL" ? "" : " and above"}
              </option>
            ))}
          </select>
          <label class="check">
            <input type="checkbox" checked={follow} onChange={() => setFollow(!follow)} /> follow
          </label>
          <FilterBox label="Find in the log" value={find} set={(v) => setQuery({ find: v })} hint="error, epoch 3" />
        </>
      }
    >
      <Load of={lines} again={again} skeleton={<Skeleton rows={12} height={16} />}>
        {(all) =>
          all.length ? (
            <Lines
              lines={all}
              follow={follow}
              stop={() => setFollow(false)}
              link={trials?.length === 1 ? null : (id) => `/experiments/${experiment}/trials/${id}/logs`}
            />
          ) : (
            <Empty title={find || level ? "No line matches" : "Nothing was logged yet"}>
              <p>What the trials print appears here.</p>
            </Empty>
          )
        }
      </Load>
    </Card>
  );
}

/** The lines that are wanted: those that are there, and those that come. */
function useLines(wanted: WantedLines, topic: string) {
  const key = JSON.stringify([wanted, topic]);
  const before = useRef<LogLines | null>(null);
  // Until others are read, those are shown of the ones before that are wanted still.
  const log = useMemo(() => {
    const old = before.current?.topic === topic ? before.current.lines.peek() : null;
    return new LogLines(wanted, topic, old?.state === "ready" ? old.value : []);
  }, [key]);
  useEffect(() => {
    const delay = before.current && wanted.find ? TYPING_MS : 0;
    before.current = log;
    return log.follow(stream, delay);
  }, [log]);
  const [lines, read] = [log.lines.value, log.searched.value];
  const said =
    read && read.searched < read.trials ? `of the ${int(read.searched)} of ${int(read.trials)} that logged last` : "";
  const note = lines.state === "ready" && read ? `${count(lines.value.length, "line")} ${said}`.trim() : "";
  return { lines, note, again: () => log.load() };
}

const LINE = 18;

interface LinesProps {
  lines: readonly LogLine[];
  follow: boolean;
  stop: () => void;
  /** Where the log of one trial is; null where there is only one. */
  link: ((trial: number) => string) | null;
}

/** Only the lines that are seen exist; a long one is reached by scrolling sideways. */
function Lines({ lines, follow, stop, link }: LinesProps) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(500);
  useEffect(() => {
    const observer = new ResizeObserver(() => setHeight(box.current?.clientHeight ?? 500));
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines, follow, height]);
  const first = Math.max(0, Math.floor(top / LINE) - 20);
  const last = Math.min(lines.length, Math.ceil((top + height) / LINE) + 20);
  return (
    <div
      class="log"
      ref={box}
      tabIndex={0}
      role="log"
      aria-label="Log"
      onScroll={(e) => setTop(e.currentTarget.scrollTop)}
      onWheel={(e) => follow && e.deltaY < 0 && stop()}
    >
      <div class="log-lines" style={{ height: `${lines.length * LINE}px` }}>
        {lines.slice(first, last).map((l, i) => (
          <div
            key={`${l.trial}:${l.id}`}
            class={`log-line l-${l.level.replace("LOG_LEVEL_", "").toLowerCase()}`}
            style={{ transform: `translateY(${(first + i) * LINE}px)` }}
          >
            <time>{l.time === null ? "" : clock(l.time)}</time>
            {link && <a href={link(l.trial)}>#{l.trial}</a>}
            <span>{l.text}</span>
          </div>
        ))}
      </div>
    </div>
  );
}
