/** The rungs of an experiment, now or at an event, fetched anew when the search has decided something. */

import { useRef } from "preact/hooks";
import { type ApiError, experiments } from "../data/api.ts";
import type { ExperimentData } from "../data/experiment.ts";
import type { Rungs } from "../data/types.ts";
import { useFetched } from "./useFetched.ts";

const CALM_MS = 3000;

/** Results of each rung that are fetched: a strip of dots cannot show more of them, and a small one fewer. */
export const MOST_RESULTS = { ladder: 2000, small: 400, lengths: 0 } as const;

interface LoadedRungs {
  /** null until known, or when they are not wanted. */
  rungs: Rungs | null;
  /** Why there are none; null when that is not known, either. */
  failure: ApiError | null;
  again: () => void;
}

/** The rungs at the last event when none is named. */
export function useRungs(data: ExperimentData, event: number | null, most: number, isWanted = true): LoadedRungs {
  // A master that has not told the rungs yet reads the whole search for them; the table and the curves go before.
  const waits = data.trials.value.state === "loading";
  const seen = useRef<number | null>(null);
  const [loaded, again] = useFetched(
    async () => (waits || !isWanted ? null : experiments.rungs(data.id, most, data.least(), event ?? undefined)),
    [data, event, isWanted, waits],
    (changed, missed) => {
      if (waits || !isWanted) return () => {};
      const watcher = {
        changed: () => {
          const { entries } = data;
          // Only decisions change them; while the stream does not tell of those, whatever happens may be one.
          if (event === null && (entries.value === null || entries.value !== seen.current)) changed();
          seen.current = entries.value;
        },
        missed,
      };
      data.watchers.add(watcher);
      return () => data.watchers.delete(watcher);
    },
    CALM_MS,
  );
  return {
    rungs: loaded.state === "ready" ? loaded.value : null,
    failure: loaded.state === "failed" ? loaded.error : null,
    again,
  };
}

/** The lengths of all rungs, shortest first; empty for a method without rungs. */
export function rungLengths(rungs: Rungs | null): number[] {
  const lengths = new Set(rungs?.brackets.flatMap((b) => b.rungs.map((r) => r.length)) ?? []);
  // A method that lets each trial validate at a length of its own has no rungs, whatever comes over the wire.
  return lengths.size > 16 ? [] : [...lengths].sort((a, b) => a - b);
}
