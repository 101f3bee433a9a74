/** The rungs of an experiment, now or at an event, fetched anew when the search has decided something. */

import { useEffect, useRef, useState } from "preact/hooks";
import { experiments } from "../data/api.ts";
import type { ExperimentData } from "../data/experiment.ts";
import type { Rungs } from "../data/types.ts";

const CALM_MS = 3000;

/** Results of each rung that are fetched: a strip of dots cannot show more of them, and a small one fewer. */
export const MOST_RESULTS = { ladder: 2000, small: 400, lengths: 0 } as const;

/** null until known, or when they are not wanted; the rungs at the last event when none is named. */
export function useRungs(data: ExperimentData, event: number | null, most: number, isWanted = true): Rungs | null {
  const [rungs, set] = useState<Rungs | null>(null);
  const wanted = useRef(0);
  const last = useRef(0);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const newest = event === null ? (data.decisions.value[0]?.event ?? 0) : event;
  // A master that has not told the rungs yet reads the whole search for them; the table and the curves go before.
  const waits = data.trials.value.state === "loading";
  useEffect(() => {
    if (waits) return;
    const mine = ++wanted.current;
    if (!isWanted) {
      set(null);
      return;
    }
    const fetchThem = async () => {
      timer.current = undefined;
      last.current = performance.now();
      try {
        const found = await experiments.rungs(data.id, most, event ?? undefined);
        if (mine === wanted.current) set(found);
      } catch {
        // The card keeps what it had; without any it is not shown.
      }
    };
    clearTimeout(timer.current);
    void fetchThem();
    return () => {
      clearTimeout(timer.current);
      timer.current = undefined;
    };
  }, [data, event, isWanted, waits]);
  useEffect(() => {
    if (!isWanted || event !== null || !newest || timer.current || waits) return;
    const mine = wanted.current;
    timer.current = setTimeout(
      async () => {
        timer.current = undefined;
        last.current = performance.now();
        const found = await experiments.rungs(data.id, most).catch(() => null);
        if (found && mine === wanted.current) set(found);
      },
      Math.max(0, last.current + CALM_MS - performance.now()),
    );
  }, [newest]);
  return rungs;
}

/** The lengths of all rungs, shortest first; empty for a method without rungs. */
export function rungLengths(rungs: Rungs | null): number[] {
  const lengths = new Set(rungs?.brackets.flatMap((b) => b.rungs.map((r) => r.length)) ?? []);
  // A method that lets each trial validate at a length of its own has no rungs, whatever comes over the wire.
  return lengths.size > 16 ? [] : [...lengths].sort((a, b) => a - b);
}
