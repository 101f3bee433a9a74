/** Something that is fetched when a page opens, and again when it is asked for. */

import { useEffect, useState } from "preact/hooks";
import { asApiError, type Loadable } from "../data/experiment.ts";

export function useFetched<A>(fetcher: () => Promise<A>, inputs: readonly unknown[]): [Loadable<A>, () => void] {
  const [loaded, set] = useState<Loadable<A>>({ state: "loading" });
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    let gone = false;
    fetcher().then(
      (value) => !gone && set({ state: "ready", value }),
      (e) => !gone && set((old) => (old.state === "ready" ? old : { state: "failed", error: asApiError(e) })),
    );
    return () => {
      gone = true;
    };
  }, [...inputs, attempt]);
  return [loaded, () => setAttempt((n) => n + 1)];
}
