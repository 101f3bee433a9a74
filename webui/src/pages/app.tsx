/** Which page an address shows. */

import { notReady, start, user } from "../app.ts";
import type { ApiError } from "../data/api.ts";
import { path } from "../router.ts";
import { useTitle } from "../ui/parts.tsx";
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
  if (user.value === "unknown") return notReady.value ? <NotReady error={notReady.value} /> : <Starting />;
  if (user.value === null || path.value === "/login") return <LoginPage />;
  return <Shell>{page(path.value)}</Shell>;
}

function Starting() {
  return <div class="starting" role="status" aria-label="Loading" />;
}

/** It is asked again and again meanwhile. */
function NotReady({ error }: { error: ApiError }) {
  useTitle("The master is not ready");
  return (
    <main id="main" class="login">
      <div class="card" role="alert">
        <img src="/assets/icon.svg" width="40" height="40" alt="" />
        <h1>The master is not ready</h1>
        <p>{error.message}</p>
        <p class="note">This page asks it again by itself, and opens as soon as it answers.</p>
        <button type="button" class="btn" onClick={start}>
          Try now
        </button>
      </div>
    </main>
  );
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
