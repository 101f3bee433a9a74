/** Which page an address shows. */

import { user } from "../app.ts";
import { path } from "../router.ts";
import { Shell } from "../ui/shell.tsx";
import { ClusterPage } from "./cluster.tsx";
import { ComparePage } from "./compare.tsx";
import { ExperimentPage } from "./experiment.tsx";
import { ListPage } from "./list.tsx";
import { LoginPage } from "./login.tsx";
import { QueuePage } from "./queue.tsx";
import { SettingsPage } from "./settings.tsx";
import { TrialPage } from "./trial.tsx";

export function App() {
  if (user.value === "unknown") return <div class="starting" role="status" aria-label="Loading" />;
  if (user.value === null || path.value === "/login") return <LoginPage />;
  return <Shell>{page(path.value)}</Shell>;
}

function page(at: string) {
  const trial = /^\/experiments\/(\d+)\/trials\/(\d+)(?:\/(\w+))?/.exec(at);
  if (trial)
    return <TrialPage key={trial[2]} experiment={Number(trial[1])} id={Number(trial[2])} tab={trial[3] ?? "metrics"} />;
  const experiment = /^\/experiments\/(\d+)(?:\/(\w+))?/.exec(at);
  if (experiment)
    return <ExperimentPage key={experiment[1]} id={Number(experiment[1])} tab={experiment[2] ?? "overview"} />;
  if (at.startsWith("/compare")) return <ComparePage />;
  if (at.startsWith("/cluster")) return <ClusterPage />;
  if (at.startsWith("/queue")) return <QueuePage />;
  if (at.startsWith("/settings")) return <SettingsPage />;
  return <ListPage />;
}
