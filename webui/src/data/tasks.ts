/** Runs as the master names them: the experiment and trial that a task stands for. */

import type { TaskSummary } from "./types.ts";

/** The experiment of a task: its id is EXPERIMENT.REQUEST, its name says the rest. */
export function experimentOf(task: Pick<TaskSummary, "taskId" | "name">): number | null {
  const found = /^(\d+)\./.exec(task.taskId) ?? /experiment (\d+)/i.exec(task.name);
  return found ? Number(found[1]) : null;
}

/** The trial, where the name tells it. */
export function trialOf(task: Pick<TaskSummary, "name">): number | null {
  const found = /trial (\d+)/i.exec(task.name);
  return found ? Number(found[1]) : null;
}

export function isWaiting(task: Pick<TaskSummary, "state">): boolean {
  return /QUEUED|PENDING/.test(task.state.toUpperCase());
}
