/** Something that is fetched when a page opens, and again when it changes or may have changed. */

import { useEffect, useRef, useState } from "preact/hooks";
import { asApiError, type ExperimentData, type Loadable } from "../data/experiment.ts";
import { mayPass, Refetcher } from "../data/refetch.ts";

/** Calls back when there is news, and when news may have been missed, until the returned function is called. */
export type Watch = (changed: () => void, missed: () => void) => () => void;

/** every: least time, in ms, from one answer to the next while there is news. */
export function useFetched<A>(
  fetcher: () => Promise<A>,
  inputs: readonly unknown[],
  watch?: Watch,
  every?: number,
): [Loadable<A>, () => void] {
  const [loaded, set] = useState<Loadable<A>>({ state: "loading" });
  const again = useRef(() => {});
  useEffect(() => {
    let gone = false;
    const refetcher = new Refetcher(async () => {
      try {
        const value = await fetcher();
        if (!gone) set({ state: "ready", value });
      } catch (e) {
        // Old data, which the page does not call live, is better than none; unless it is gone for good.
        const stays = mayPass(e);
        if (!gone) set((old) => (stays && old.state === "ready" ? old : { state: "failed", error: asApiError(e) }));
        if (stays) throw e;
      }
    }, every);
    again.current = () => refetcher.now();
    const end = watch?.(
      () => refetcher.soon(),
      () => refetcher.now(),
    );
    refetcher.now(loaded.state !== "ready");
    return () => {
      gone = true;
      end?.();
      refetcher.stop();
    };
  }, inputs);
  return [loaded, () => again.current()];
}

/** Changes of an experiment; of one trial, or of its own settings, if it is named. */
export function changesOf(data: ExperimentData, trial?: number): Watch {
  return (changed, missed) => {
    const watcher = {
      changed: (ids: readonly number[] | null) => {
        if (trial === undefined || ids === null || ids.includes(trial)) changed();
      },
      missed,
    };
    data.watchers.add(watcher);
    return () => data.watchers.delete(watcher);
  };
}
