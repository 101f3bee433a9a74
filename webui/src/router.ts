/** Where we are: the path and the query are the state of the page, so that any view can be shared and reloaded. */

import { batch, computed, signal } from "@preact/signals";
import { isOurs } from "./paths.ts";

export const path = signal(location.pathname);
const search = signal(location.search);
export const query = computed(() => new URLSearchParams(search.value));

function read(): void {
  batch(() => {
    path.value = location.pathname;
    search.value = location.search;
  });
}

/** Goes to an address of this application. */
export function go(to: string, options: { replace?: boolean } = {}): void {
  if (to === location.pathname + location.search) return;
  history[options.replace ? "replaceState" : "pushState"](null, "", to);
  read();
}

/** Changes parts of the query; null takes one out. It makes no step of its own in the history unless told. */
export function setQuery(changes: Record<string, string | null>, options: { push?: boolean } = {}): void {
  const next = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString().replaceAll("%2C", ",").replaceAll("%3A", ":").replaceAll("%3D", "=");
  go(location.pathname + (text ? `?${text}` : ""), { replace: !options.push });
}

/** Makes links of this application change the page without loading it. */
export function startRouter(): void {
  addEventListener("popstate", read);
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const link = (event.target as Element | null)?.closest?.("a");
    if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
    // A place on this page is the browser's to go to.
    if (!isOurs(link.pathname) || link.hash) return;
    event.preventDefault();
    const moved = link.pathname !== location.pathname;
    go(link.pathname + link.search);
    if (moved) scrollTo(0, 0);
  });
}
