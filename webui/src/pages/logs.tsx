/** Logs: the last lines of a trial, and those that come while somebody watches. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { stream } from "../app.ts";
import { trials } from "../data/api.ts";
import { asApiError, type Loadable } from "../data/experiment.ts";
import { mergeLines, readLine } from "../data/logs.ts";
import type { LogLine, Message } from "../data/types.ts";
import { clock, int } from "../format.ts";
import { query, setQuery } from "../router.ts";
import { Card, Empty, FilterBox, Load, Skeleton } from "../ui/parts.tsx";
import type { TabProps } from "./experiment.tsx";

const LAST = 2000;
const KEPT = 20_000;

/** The logs of an experiment: those of one of its trials, chosen here. */
export function LogsTab({ data }: TabProps) {
  const loaded = data.trials.value;
  void data.version.value;
  return (
    <div class="body">
      <Load of={loaded} again={() => void data.load()}>
        {(table) => {
          const asked = Number(query.value.get("trial") ?? Number.NaN);
          const running = table.id.filter((_, r) => table.status[r] === "running");
          const failed = table.id.filter((_, r) => table.status[r] === "errored");
          const id = table.row.has(asked) ? asked : (failed.at(-1) ?? running[0] ?? table.id.at(-1));
          if (id === undefined) {
            return (
              <Card>
                <Empty title="No trial yet">
                  <p>Each trial has a log of its own; it is here once the first one was created.</p>
                </Empty>
              </Card>
            );
          }
          return (
            <LogCard key={id} id={id} choose={<Chooser ids={table.id} id={id} running={running} failed={failed} />} />
          );
        }}
      </Load>
    </div>
  );
}

function Chooser({ ids, id, running, failed }: { ids: number[]; id: number; running: number[]; failed: number[] }) {
  const [text, setText] = useState(String(id));
  const groups: [string, number[]][] = [
    ["running", running.slice(0, 100)],
    ["failed", failed.slice(-100)],
  ];
  return (
    <form
      class="inline"
      onSubmit={(e) => {
        e.preventDefault();
        setQuery({ trial: text });
      }}
    >
      <label>
        Trial{" "}
        <input
          list="trial-ids"
          value={text}
          size={7}
          inputMode="numeric"
          onInput={(e) => setText(e.currentTarget.value)}
          onChange={() => setQuery({ trial: text })}
        />
      </label>
      <datalist id="trial-ids">
        {groups.flatMap(([word, list]) =>
          list.map((i) => <option key={`${word}${i}`} value={String(i)} label={word} />),
        )}
        {ids.length <= 300 && ids.map((i) => <option key={i} value={String(i)} />)}
      </datalist>
    </form>
  );
}

export function LogCard({ id, choose }: { id: number; choose?: preact.ComponentChildren }) {
  const [lines, setLines] = useState<Loadable<LogLine[]>>({ state: "loading" });
  const [follow, setFollow] = useState(true);
  const [attempt, setAttempt] = useState(0);
  const q = (query.value.get("find") ?? "").toLowerCase();
  useEffect(() => {
    let gone = false;
    const load = () =>
      trials.logs(id, LAST).then(
        (found) =>
          !gone &&
          setLines((old) => ({
            state: "ready",
            value: old.state === "ready" ? mergeLines(old.value, found, KEPT) : found,
          })),
        (e) => !gone && setLines((old) => (old.state === "ready" ? old : { state: "failed", error: asApiError(e) })),
      );
    void load();
    let opened = false;
    const end = stream.subscribe(`log:${id}`, {
      message: (m: Message) => {
        const news = (m.lines ?? []).map(readLine);
        setLines((old) => (old.state === "ready" ? { state: "ready", value: mergeLines(old.value, news, KEPT) } : old));
      },
      opened: () => {
        if (opened) void load();
        opened = true;
      },
    });
    return () => {
      gone = true;
      end();
    };
  }, [id, attempt]);
  const shown = useMemo(() => {
    if (lines.state !== "ready") return [];
    return q
      ? lines.value.filter((l) => l.text.toLowerCase().includes(q) || l.level.toLowerCase().includes(q))
      : lines.value;
  }, [lines, q]);
  return (
    <Card
      title={`Log of trial ${id}`}
      note={lines.state === "ready" ? `${int(shown.length)} ${q ? "of the last" : "last"} lines` : ""}
      tools={
        <>
          {choose}
          <label class="check">
            <input type="checkbox" checked={follow} onChange={() => setFollow(!follow)} /> follow
          </label>
          <FilterBox
            label="Find in the log"
            value={query.value.get("find") ?? ""}
            set={(find) => setQuery({ find })}
            hint="error, epoch 3"
          />
        </>
      }
    >
      <Load of={lines} again={() => setAttempt(attempt + 1)} skeleton={<Skeleton rows={12} height={16} />}>
        {() =>
          shown.length ? (
            <Lines lines={shown} follow={follow} stop={() => setFollow(false)} />
          ) : (
            <Empty title={q ? "No line matches" : "Nothing was logged yet"}>
              <p>{q ? "Only the last lines are searched here." : "What the trial prints appears here."}</p>
            </Empty>
          )
        }
      </Load>
    </Card>
  );
}

const LINE = 18;

/** Only the lines that are seen exist; a long one is reached by scrolling sideways. */
function Lines({ lines, follow, stop }: { lines: readonly LogLine[]; follow: boolean; stop: () => void }) {
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
            key={l.id}
            class={`log-line l-${l.level.replace("LOG_LEVEL_", "").toLowerCase()}`}
            style={{ transform: `translateY(${(first + i) * LINE}px)` }}
          >
            <time>{l.time === null ? "" : clock(l.time)}</time>
            <span>{l.text}</span>
          </div>
        ))}
      </div>
    </div>
  );
}
