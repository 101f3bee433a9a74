/** Something that is fetched when a page opens, and again when it changes or may have changed. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { ExperimentData } from "../data/experiment.ts";
import { fetchInto, LOADING, type Loadable, type Show } from "../data/loading.ts";
import { Refetcher } from "../data/refetch.ts";

/** Calls back when there is news, and when news may have been missed, until the returned function is called. */
export type Watch = (changed: () => void, missed: () => void) => () => void;

interface Held<A> {
  readonly inputs: readonly unknown[];
  readonly loaded: Loadable<A>;
}

/**
 * What is fetched belongs to its inputs: whoever gives others sees it load.
 *
 * every: least time, in ms, from one answer to the next while there is news.
 */
export function useFetched<A>(
  fetcher: () => Promise<A>,
  inputs: readonly unknown[],
  watch?: Watch,
  every?: number,
): [Loadable<A>, () => void] {
  const [held, hold] = useState<Held<A>>({ inputs, loaded: LOADING });
  const again = useRef(() => {});
  const loaded = loadedFor(held, inputs);
  useEffect(() => {
    let gone = false;
    const show: Show<A> = (change) => {
      if (!gone) hold((old) => ({ inputs, loaded: change(loadedFor(old, inputs)) }));
    };
    const refetcher = new Refetcher(
      () =>
        fetchInto(show, async () => {
          const value = await fetcher();
          show(() => ({ state: "ready", value }));
        }),
      every,
    );
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

function loadedFor<A>({ inputs, loaded }: Held<A>, wanted: readonly unknown[]): Loadable<A> {
  return inputs.length === wanted.length && inputs.every((v, i) => Object.is(v, wanted[i])) ? loaded : LOADING;
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
