/** The decisions up to an event, or the newest and those that come, going back as far as somebody scrolls. */

import { useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, experiments } from "../data/api.ts";
import { aboutTrial, type ExperimentData, mergeDecisions } from "../data/experiment.ts";
import { asApiError, type Loadable } from "../data/loading.ts";
import type { Decision, Decisions } from "../data/types.ts";
import { useFetched } from "./useFetched.ts";

const PIECE = 200;
/** Pieces that are read to close a hole; if it is larger, what is behind it is read when somebody scrolls there. */
const MOST_PIECES = 5;

interface Log {
  list: Decision[];
  /** Decisions of which those that are wanted are all in the list. */
  entries: number;
  /** Whether there are none before those of the list. */
  isWhole: boolean;
  /** How far the reading of earlier ones is, if it was not done; what went wrong, if something did. */
  earlier?: "reading" | ApiError | null;
}

/** Reads those before the ones that are shown. */
export interface Earlier {
  readonly state: "reading" | ApiError | null;
  read(): Promise<void>;
}

export function useDecisions(data: ExperimentData, event: number | null, trial: number | null) {
  const read = async (before?: number) => {
    const found = await experiments.decisions(data.id, { before, limit: PIECE, trial: trial ?? undefined });
    // It outlives what is forgotten when something else is asked for, also where no stream tells it.
    data.reached(found.last);
    return found;
  };
  /** What is known, so that only what is new is read; forgotten when it cannot be compared. */
  const known = useRef<Log | null>(null);
  const asked = useRef({});
  const refresh = useRef(() => {});
  const [, draw] = useState(0);
  const [loaded, again] = useFetched(
    async () => {
      const mine = asked.current;
      const found = await newest(read, event, known.current);
      if (asked.current === mine) known.current = found;
      return found;
    },
    [data, event, trial],
    (changed, missed) => {
      known.current = null;
      asked.current = {};
      refresh.current = changed;
      const watcher = {
        // While the stream does not tell decisions, they have to be asked for.
        changed: () => {
          if (event === null && data.entries.value === null) changed();
        },
        missed: () => {
          known.current = null;
          asked.current = {};
          missed();
        },
      };
      data.watchers.add(watcher);
      return () => data.watchers.delete(watcher);
    },
  );
  const [news, entries] = [data.decisions.value, data.entries.value];
  useEffect(() => {
    const log = known.current;
    if (event !== null || log === null || entries === null || entries <= log.entries) return;
    const lowest = news.at(-1)?.number ?? entries;
    if (lowest > log.entries) {
      // More came at once than is told.
      refresh.current();
      return;
    }
    const recent = news.filter((d) => d.number >= log.entries);
    const ours = trial === null ? recent : aboutTrial(recent, trial);
    if (ours === null) {
      refresh.current();
      return;
    }
    log.list = mergeDecisions(ours, log.list, Number.POSITIVE_INFINITY);
    log.entries = entries;
    draw((n) => n + 1);
  }, [news, entries, loaded]);
  const log = known.current ?? (loaded.state === "ready" ? loaded.value : null);
  const list: Loadable<Decision[]> =
    log && loaded.state === "ready" ? { state: "ready", value: log.list } : failing(loaded);
  const more = async () => {
    const oldest = log?.list.at(-1);
    if (!log || !oldest) return;
    log.earlier = "reading";
    draw((n) => n + 1);
    const mine = asked.current;
    // What is known may have been read anew meanwhile: then it goes there.
    const now = () => (asked.current === mine ? (known.current ?? log) : log);
    try {
      const found = (await read(oldest.event)).decisions;
      const to = now();
      to.isWhole = found.length < PIECE;
      to.list = mergeDecisions(found, to.list, Number.POSITIVE_INFINITY);
      to.earlier = null;
    } catch (e) {
      now().earlier = asApiError(e);
    }
    draw((n) => n + 1);
  };
  return {
    list,
    last: data.lastEvent.value,
    earlier: log && !log.isWhole && log.list.length ? { state: log.earlier ?? null, read: more } : null,
    again,
  };
}

function failing(loaded: Loadable<unknown>): Loadable<Decision[]> {
  return loaded.state === "failed" ? loaded : { state: "loading" };
}

/** The newest decisions, and those behind them as far as they are known or a hole can be closed. */
async function newest(read: (before?: number) => Promise<Decisions>, event: number | null, known: Log | null) {
  const first = await read(event === null ? undefined : event + 1);
  const found: Log = {
    list: first.decisions,
    entries: first.entries,
    isWhole: first.decisions.length < PIECE,
  };
  if (event !== null || known === null) return found;
  for (let pieces = 1; !found.isWhole && found.list.at(-1)!.number >= known.entries; pieces++) {
    if (pieces === MOST_PIECES) return found;
    const { decisions } = await read(found.list.at(-1)!.event);
    found.list = [...found.list, ...decisions];
    found.isWhole = decisions.length < PIECE;
  }
  return {
    ...found,
    list: mergeDecisions(found.list, known.list, Number.POSITIVE_INFINITY),
    isWhole: found.isWhole || known.isWhole,
    earlier: known.earlier,
  };
}
