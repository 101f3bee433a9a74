/** What the whole page shares: who is logged in, the connection, messages, and the experiment that is open. */

import { signal } from "@preact/signals";
import { ApiError, session } from "./data/api.ts";
import { ExperimentData } from "./data/experiment.ts";
import { asApiError } from "./data/loading.ts";
import { Refetcher } from "./data/refetch.ts";
import { type Connection, Stream } from "./data/stream.ts";
import type { User } from "./data/types.ts";

export const user = signal<User | null | "unknown">("unknown");
export const connection = signal<Connection>("idle");
/** When the connection was lost, in seconds of performance.now(); null while it is there. */
export const lostAt = signal<number | null>(null);

export const stream = new Stream((state) => {
  connection.value = state;
  if (state === "live" || state === "idle") lostAt.value = null;
  else if (state === "reconnecting" && lostAt.value === null) lostAt.value = performance.now() / 1000;
}, isLoggedOut);

/** Whether the master says that nobody is logged in here; while it says nothing, that is not known. */
async function isLoggedOut(): Promise<boolean> {
  try {
    await session.get();
  } catch (e) {
    if (!(e instanceof ApiError) || e.status !== 401) return false;
    user.value = null;
    return true;
  }
  return false;
}

/** The time of day, in seconds, renewed every second while the page is seen. */
export const now = signal(Date.now() / 1000);
setInterval(() => {
  if (!document.hidden) now.value = Date.now() / 1000;
}, 1000);

/** Why it is not known who is logged in: the master cannot tell yet. */
export const notReady = signal<ApiError | null>(null);

/**
 * Asks who is logged in.
 *
 * Throws: the master cannot tell, which is not to say that nobody is.
 */
export async function whoAmI(): Promise<void> {
  try {
    user.value = (await session.get()).user;
  } catch (e) {
    if (!(e instanceof ApiError) || e.status !== 401) throw e;
    user.value = null;
  }
}

const starting = new Refetcher(async () => {
  try {
    await whoAmI();
    notReady.value = null;
  } catch (e) {
    notReady.value = asApiError(e);
    throw e;
  }
});

/** Asks who is logged in until the master tells. */
export function start(): void {
  starting.now(true);
}

export interface Notice {
  readonly id: number;
  readonly kind: "done" | "failed";
  readonly text: string;
}

export const notices = signal<readonly Notice[]>([]);
let nextNotice = 1;

/** Tells what came of an action; failures stay until they are dismissed. */
export function notify(kind: Notice["kind"], text: string): void {
  const id = nextNotice++;
  notices.value = [...notices.value, { id, kind, text }];
  if (kind === "done") setTimeout(() => dismiss(id), 5000);
}

export function dismiss(id: number): void {
  notices.value = notices.value.filter((n) => n.id !== id);
}

/** Returning to an experiment shows at once what was known of it. */
const recent = new Map<number, ExperimentData>();
const KEPT = 4;

export function experimentData(id: number): ExperimentData {
  const data = recent.get(id) ?? new ExperimentData(id);
  recent.delete(id);
  recent.set(id, data);
  for (const old of [...recent.keys()].slice(0, -KEPT)) recent.delete(old);
  return data;
}
