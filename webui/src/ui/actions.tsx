/** What users can do to experiments and trials. Whatever stops work or starts it is asked about first. */

import { notify } from "../app.ts";
import { type Action, asMessage, experiments, trials } from "../data/api.ts";
import { count } from "../format.ts";
import { ask } from "./dialog.tsx";

const DONE: Record<Action, string> = {
  pause: "paused",
  activate: "resumed",
  cancel: "being canceled",
  kill: "being killed",
  archive: "archived",
  unarchive: "taken out of the archive",
};

export async function act(action: Action, ids: readonly number[]): Promise<void> {
  const results = await Promise.allSettled(ids.map((id) => experiments.act(id, action)));
  const failed = results.filter((r) => r.status === "rejected");
  for (const f of failed) notify("failed", asMessage(f.reason));
  const done = ids.filter((_, i) => results[i]!.status === "fulfilled");
  if (done.length) {
    const who = done.length === 1 ? `Experiment ${done[0]}` : count(done.length, "experiment");
    notify("done", `${who} ${done.length === 1 ? "is" : "are"} ${DONE[action]}.`);
  }
}

export function askToPause(ids: readonly number[], names: string): void {
  ask({
    title: ids.length === 1 ? `Pause ${names}?` : `Pause ${count(ids.length, "experiment")}?`,
    body: <p>Running trials save a checkpoint and leave their slots. Resumed, they go on from there.</p>,
    answers: [{ text: "Pause", kind: "primary", first: true, act: () => void act("pause", ids) }],
  });
}

export function askToResume(ids: readonly number[], names: string): void {
  ask({
    title: ids.length === 1 ? `Resume ${names}?` : `Resume ${count(ids.length, "experiment")}?`,
    body: <p>Trials with work left ask for slots again, and go on from their last checkpoints.</p>,
    answers: [{ text: "Resume", kind: "primary", first: true, act: () => void act("activate", ids) }],
  });
}

export function askToStop(ids: readonly number[], names: string): void {
  ask({
    title: ids.length === 1 ? `Stop ${names}?` : `Stop ${count(ids.length, "experiment")}?`,
    body: (
      <>
        <p>
          <b>Cancel</b> lets running trials save a checkpoint first. <b>Kill</b> ends them at once; what they did since
          their last checkpoint is lost.
        </p>
        <p>A stopped experiment cannot be resumed. To go on later, pause it instead.</p>
      </>
    ),
    answers: [
      { text: "Kill", kind: "danger", act: () => void act("kill", ids) },
      { text: "Cancel experiment", kind: "primary", act: () => void act("cancel", ids) },
    ],
  });
}

export function askToStopTrial(id: number): void {
  const tell = (done: Promise<unknown>, what: string) =>
    void done.then(
      () => notify("done", `Trial ${id} is being ${what}.`),
      (e) => notify("failed", asMessage(e)),
    );
  ask({
    title: `Stop trial ${id}?`,
    body: (
      <>
        <p>
          <b>Cancel</b> lets it save a checkpoint first. <b>Kill</b> ends it at once; what it did since its last
          checkpoint is lost.
        </p>
        <p>The search is told, and goes on with the other trials.</p>
      </>
    ),
    answers: [
      { text: "Kill trial", kind: "danger", act: () => tell(trials.kill(id), "killed") },
      { text: "Cancel trial", kind: "primary", act: () => tell(trials.cancel(id), "canceled") },
    ],
  });
}
