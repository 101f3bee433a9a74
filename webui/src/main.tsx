import { render } from "preact";
import { start, user } from "./app.ts";
import { describeAll } from "./charts/base.ts";
import { onLoggedOut } from "./data/api.ts";
import { startKeys } from "./keys.ts";
import { App } from "./pages/app.tsx";
import { startRouter } from "./router.ts";
import { startTheme } from "./theme.ts";

declare global {
  interface Window {
    /** What the charts on the page show, in numbers; for tests. */
    describeCharts: typeof describeAll;
  }
}

startTheme();
startRouter();
startKeys();
onLoggedOut(() => {
  user.value = null;
});
window.describeCharts = describeAll;
start();
render(<App />, document.getElementById("app")!);
