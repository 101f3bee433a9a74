/** What people see as the state of a trial or an experiment: one word, one colour, one shape. */

export const STATUSES = [
  "queued",
  "running",
  "waiting",
  "paused",
  "completed",
  "stopped",
  "canceled",
  "errored",
] as const;
export type Status = (typeof STATUSES)[number];

/** What each word means, for tooltips. */
export const MEANING: Record<Status, string> = {
  queued: "waits for slots",
  running: "runs on its slots",
  waiting: "waits for the search to decide",
  paused: "paused",
  completed: "reached the end",
  stopped: "ended early by the search",
  canceled: "canceled by a user",
  errored: "failed",
};

const TRIAL: Record<string, Status> = {
  ACTIVE: "waiting",
  WAITING: "waiting",
  QUEUED: "queued",
  PULLING: "running",
  STARTING: "running",
  RUNNING: "running",
  PAUSED: "paused",
  COMPLETED: "completed",
  CANCELED: "canceled",
  ERROR: "errored",
  STOPPING_COMPLETED: "running",
  STOPPING_CANCELED: "running",
  STOPPING_KILLED: "running",
  STOPPING_ERROR: "running",
};

const END: Record<string, Status> = {
  completed: "completed",
  stopped: "stopped",
  errored: "errored",
  canceled: "canceled",
  invalidHp: "errored",
};

/** Of a trial: how it ended says more than its state. */
export function trialStatus(state: string, end: string): Status {
  return END[end] ?? TRIAL[bare(state)] ?? "waiting";
}

const EXPERIMENT: Record<string, Status> = {
  ACTIVE: "running",
  QUEUED: "queued",
  PAUSED: "paused",
  COMPLETED: "completed",
  CANCELED: "canceled",
  ERROR: "errored",
  STOPPING_COMPLETED: "running",
  STOPPING_CANCELED: "running",
  STOPPING_KILLED: "running",
  STOPPING_ERROR: "running",
  DELETING: "running",
  DELETE_FAILED: "errored",
};

/** Of an experiment. */
export function experimentStatus(state: string): Status {
  return EXPERIMENT[bare(state)] ?? (isStopping(state) ? "running" : "running");
}

/** The word to show: a state on its way to another says so. */
export function experimentWord(state: string): string {
  const name = bare(state);
  if (isStopping(name)) return "stopping";
  if (name.startsWith("DELET")) return name === "DELETE_FAILED" ? "not deleted" : "deleting";
  return experimentStatus(name);
}

export function isStopping(state: string): boolean {
  return bare(state).startsWith("STOPPING");
}

export function isOver(state: string): boolean {
  return ["COMPLETED", "CANCELED", "ERROR", "DELETED", "DELETE_FAILED"].includes(bare(state));
}

function bare(state: string): string {
  return state.replace(/^STATE_/, "");
}
