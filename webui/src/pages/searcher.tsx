/** What the search method saw, what it answered and why; and its rungs, now or as they were at any event. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { ApiError, asMessage, experiments } from "../data/api.ts";
import type { Loadable } from "../data/loading.ts";
import { answers, markOf } from "../data/sentences.ts";
import type { Decision, Experiment, Rungs } from "../data/types.ts";
import { clock, count, duration, int, value } from "../format.ts";
import { query, setQuery } from "../router.ts";
import { Card, Empty, Failure, Load, Skeleton } from "../ui/parts.tsx";
import { useRoving } from "../ui/roving.ts";
import type { TabProps } from "./experiment.tsx";
import { Ladder } from "./ladder.tsx";
import { type Earlier, useDecisions } from "./useDecisions.ts";
import { changesOf, useFetched } from "./useFetched.ts";
import { MOST_RESULTS, rungLengths, useRungs } from "./useRungs.ts";

/** Rungs, and the event at which they were like that; null for now. */
interface Shown {
  readonly event: number | null;
  readonly rungs: Rungs;
}

/** Decisions, and what they were asked for. */
interface Told {
  readonly trial: string | null;
  readonly event: number | null;
  readonly list: Loadable<Decision[]>;
}

export function SearcherTab({ data, info }: TabProps) {
  const chosen = query.value.get("event");
  const event = chosen === null ? null : Number(chosen);
  const trial = query.value.get("trial");
  const log = useDecisions(data, event, trial === null ? null : Number(trial));
  // Whether there are rungs at all is told by those that there are now: at the first events there was only one.
  const present = useRungs(data, null, MOST_RESULTS.ladder);
  const past = useRungs(data, event, MOST_RESULTS.ladder, event !== null);
  const wanted = event === null ? present : past;
  const failed = wanted.failure || wanted.rungs ? wanted : present;
  const { failure, again } = failed;
  // While those at another event are fetched, the ones before stay, under their own heading.
  const last = useRef<Shown | null>(null);
  if (failure) last.current = null;
  else if (event === null) last.current = present.rungs && { event, rungs: present.rungs };
  else if (past.rungs) last.current = { event, rungs: past.rungs };
  const shown = last.current;
  const lengths = useMemo(() => rungLengths(present.rungs), [present.rungs]);
  // The same holds for decisions, each of which names its event, as long as they are of the same trial.
  const told = useRef<Told>({ trial, event, list: log.list });
  if (log.list.state !== "loading" || told.current.trial !== trial) told.current = { trial, event, list: log.list };
  const { list } = told.current;
  const decided =
    log.list.state === "ready" ? log.list.value.find((d) => event !== null && d.event <= event) : undefined;
  // What cannot be read might be there, and the card says why it is not.
  const hasRungs = lengths.length > 1 || rungLengths(past.rungs).length > 1 || failure !== null;
  return (
    <div class="body">
      {log.last > 1 && <Scrubber last={log.last} event={event} decision={decided} info={info} />}
      <div class={hasRungs ? "halves" : "main-side"}>
        {hasRungs && (
          <div class="column">
            <Card
              title="Rungs"
              note={shown?.event == null ? better(info) : `as they were at event ${int(shown.event)}`}
            >
              {shown ? (
                <Ladder
                  rungs={shown.rungs}
                  info={info}
                  marked={shown.event === event ? (decided?.trial ?? null) : null}
                />
              ) : failure ? (
                <Failure error={failure} again={again} />
              ) : (
                <Skeleton rows={lengths.length} height={60} />
              )}
              <RungLegend />
            </Card>
            <MethodSummary data={data} info={info} />
          </div>
        )}
        <Card
          title="Decisions"
          note={
            told.current.event === null
              ? "every event that the search method saw, and what it answered"
              : `what the search method answered, up to event ${int(told.current.event)}`
          }
          tools={
            trial !== null && (
              <button type="button" class="chip" aria-pressed="true" onClick={() => setQuery({ trial: null })}>
                trial #{trial} ×
              </button>
            )
          }
        >
          <Load of={list} again={log.again} skeleton={<Skeleton rows={10} height={28} />}>
            {(list) => <DecisionList list={list} info={info} chosen={decided?.event ?? null} earlier={log.earlier} />}
          </Load>
        </Card>
        {!hasRungs && <MethodSummary data={data} info={info} />}
      </div>
    </div>
  );
}

/** On which side of the cut the good ones are. */
export function better(info: Experiment): string {
  return `those ${info.smallerIsBetter ? "left" : "right"} of the line go on`;
}

function Scrubber(props: { last: number; event: number | null; decision: Decision | undefined; info: Experiment }) {
  const { last, event, decision, info } = props;
  const at = event ?? last;
  const to = (e: number) => setQuery({ event: e >= last ? null : String(Math.max(1, e)) });
  const when =
    decision?.at != null && info.startedAt !== null
      ? ` · ${duration(decision.at - info.startedAt)} after the start`
      : "";
  return (
    <div class="card scrubber">
      <label for="scrub">Event</label>
      <button type="button" class="btn small" aria-label="Previous event" onClick={() => to(at - 1)} disabled={at <= 1}>
        ‹
      </button>
      <input
        id="scrub"
        type="range"
        min={1}
        max={last}
        value={at}
        aria-valuetext={`event ${at} of ${last}`}
        onInput={(e) => to(Number(e.currentTarget.value))}
      />
      <button type="button" class="btn small" aria-label="Next event" onClick={() => to(at + 1)} disabled={at >= last}>
        ›
      </button>
      <span class="where">
        {int(at)} of {int(last)}
        {when}
      </span>
      <button
        type="button"
        class={`btn small ${event === null ? "" : "primary"}`}
        disabled={event === null}
        onClick={() => setQuery({ event: null })}
      >
        {event === null ? "now" : "back to now"}
      </button>
    </div>
  );
}

function RungLegend() {
  return (
    <p class="rung-legend note">
      <span class="o-promoted">goes on</span>
      <span class="o-running">on the way</span>
      <span class="o-waiting">waits</span>
      <span class="o-ended">ended</span>
      <span class="o-cut">cut</span>
    </p>
  );
}

function DecisionList(props: {
  list: readonly Decision[];
  info: Experiment;
  chosen: number | null;
  earlier: Earlier | null;
}) {
  const { list, info, chosen, earlier } = props;
  const box = useRef<HTMLOListElement>(null);
  const onKey = useRoving(box, ":scope > li");
  // Where the button was that has brought the last of them, and is gone, somebody goes on.
  const pressed = useRef(false);
  useLayoutEffect(() => {
    if (earlier || !pressed.current) return;
    pressed.current = false;
    if (document.activeElement === document.body)
      box.current?.querySelector<HTMLElement>("li:last-child button")?.focus();
  }, [earlier === null]);
  const readEarlier = () => {
    if (!earlier || earlier.state === "reading") return;
    pressed.current = true;
    void earlier.read();
  };
  if (!list.length) {
    return (
      <Empty title="No decision yet">
        <p>The first one comes when the search method answers its first event.</p>
      </Empty>
    );
  }
  return (
    <ol ref={box} class="decisions" tabIndex={0} aria-label="Decisions" onKeyDown={onKey}>
      {list.map((d) => (
        <li key={d.number} class={d.event === chosen ? "chosen" : ""}>
          <time title={d.at === null ? "" : new Date(d.at * 1000).toLocaleString()}>
            {d.at === null ? "" : clock(d.at)}
          </time>
          <i class={`mark m-${markOf(d)}`} aria-hidden="true" />
          <DecisionText decision={d} info={info} />
          <button
            type="button"
            class="event-no"
            title="Show the rungs as they were at this event"
            onClick={() => setQuery({ event: String(d.event) })}
          >
            {int(d.event)}
          </button>
        </li>
      ))}
      {earlier && (
        <li class="more">
          {earlier.state instanceof ApiError && (
            <p class="problem" role="alert">
              {asMessage(earlier.state)}
            </p>
          )}
          <button type="button" class="btn small" aria-disabled={earlier.state === "reading"} onClick={readEarlier}>
            {earlier.state instanceof ApiError ? "Try again" : "Earlier decisions"}
          </button>
        </li>
      )}
    </ol>
  );
}

const SHOWN_ANSWERS = 6;

export function DecisionText({ decision, info }: { decision: Decision; info: Experiment }) {
  const all = answers(decision.operations, info.unit);
  const left = all.length - SHOWN_ANSWERS + (decision.more ?? 0);
  return (
    <div class="said">
      <p>
        {linked(decision.said, info)}
        {!all.length && <span class="dim"> → nothing to do</span>}
      </p>
      {all.slice(0, SHOWN_ANSWERS).map(({ text, why }) => (
        <p key={text} class="answer">
          {linked(`→ ${text}`, info)}
          {why && <span class="why">: {linked(why, info)}</span>}
        </p>
      ))}
      {left > 0 && <p class="answer dim">→ and {count(left, "answer")} more</p>}
    </div>
  );
}

/** Text in which #12 leads to trial 12. */
function linked(text: string, info: Experiment): ComponentChildren {
  return text.split(/(#\d+)/).map((part, i) =>
    /^#\d+$/.test(part) ? (
      <a key={i} class="strong" href={`/experiments/${info.id}/trials/${part.slice(1)}/history`}>
        {part}
      </a>
    ) : (
      part
    ),
  );
}

function MethodSummary({ data, info }: TabProps) {
  const [loaded, again] = useFetched(() => experiments.summary(info.id), [info.id], changesOf(data), 2000);
  const at = loaded.state === "ready" ? loaded.value.event : null;
  return (
    <Card title="The method's own words" note={at === null ? info.searcher : `after event ${int(at)}`}>
      <Load of={loaded} again={again} skeleton={<Skeleton rows={3} />}>
        {({ summary }) =>
          summary && Object.keys(summary).length ? (
            <dl class="pairs one" aria-label="Summary">
              {Object.entries(summary).map(([name, v]) => (
                <div key={name}>
                  <dt title={name}>{name}</dt>
                  <dd title={value(v)}>{value(v)}</dd>
                </div>
              ))}
            </dl>
          ) : (
            <p class="note">
              This method says nothing of its own state. One that has <code>summary()</code> is shown here.
            </p>
          )
        }
      </Load>
    </Card>
  );
}
