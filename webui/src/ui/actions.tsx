/** What users can do to experiments and trials. Whatever ends work is asked about first. */

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

export function askToKillTrial(id: number): void {
  ask({
    title: `Kill trial ${id}?`,
    body: <p>It ends at once. The search is told, and goes on with the other trials.</p>,
    answers: [
      {
        text: "Kill trial",
        kind: "danger",
        act: () =>
          void trials.kill(id).then(
            () => notify("done", `Trial ${id} is being killed.`),
            (e) => notify("failed", asMessage(e)),
          ),
      },
    ],
  });
}
