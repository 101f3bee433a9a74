/** What is fetched and shown, and what is shown of it when fetching fails. */

import { ApiError } from "./api.ts";

export type Loadable<A> = { state: "loading" } | { state: "ready"; value: A } | { state: "failed"; error: ApiError };

export const LOADING: Loadable<never> = { state: "loading" };

/** Whether it may help to ask again: the master is away, or has too much to do. */
export function mayPass(e: unknown): boolean {
  return e instanceof ApiError && (e.status === 0 || e.status === 429 || e.status >= 500);
}

export function asApiError(e: unknown): ApiError {
  return e instanceof ApiError ? e : new ApiError(0, "to show this", e instanceof Error ? e.message : String(e));
}

/** Changes what is shown. */
export type Show<A> = (change: (old: Loadable<A>) => Loadable<A>) => void;

/**
 * Fetches something, which shows itself. What fails and may pass fails here too, so that it is tried again; what was
 * shown before then stays: old data, which the page does not call live, is better than none, unless it is gone for good.
 */
export async function fetchInto<A>(show: Show<A>, fetch: () => Promise<void>): Promise<void> {
  try {
    await fetch();
  } catch (e) {
    const stays = mayPass(e);
    show((old) => (stays && old.state === "ready" ? old : { state: "failed", error: asApiError(e) }));
    if (stays) throw e;
  }
}
