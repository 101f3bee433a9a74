/** Keys for the whole page, alone (`/`) or one after another (`g e`). Nothing happens while somebody types. */

import { useLayoutEffect, useRef } from "preact/hooks";

type Handler = (event: KeyboardEvent) => void;
const layers: { keys: Record<string, Handler> }[] = [];
/** Boxes that are ticked and the like take no letters. */
const TYPED_INTO = "input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable]";
let prefix = "";
let prefixAt = 0;

/** Keys that walk, and go on while they are held; all others do what they do once. */
const WALKING = /^([jk]|Arrow\w+|Page\w+|Tab)$/;

export function startKeys(): void {
  // Whoever holds Enter has pressed one button with it, and does not answer what that one asks.
  addEventListener(
    "keydown",
    (event) => {
      const pressed = (event.target as Element | null)?.closest?.("a, button, summary, input[type=checkbox]");
      if (event.repeat && pressed && (event.key === "Enter" || event.key === " ")) event.preventDefault();
    },
    { capture: true },
  );
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target as HTMLElement;
    const typing = target.matches(TYPED_INTO);
    if (typing && event.key === "Escape") return target.blur();
    if (typing || document.querySelector("dialog[open]")) return;
    if (event.repeat && !WALKING.test(event.key)) return;
    // Enter on a button or a link is for that, not for the row that was chosen before.
    if (event.key === "Enter" && target.closest("a, button, summary, input, label")) return;
    const sequence = prefix && event.timeStamp - prefixAt < 1200 ? `${prefix} ${event.key}` : event.key;
    prefix = "";
    const newest = [...layers].reverse();
    // Two keys of the page come before one of a part of it.
    const layer = newest.find((l) => l.keys[sequence]) ?? newest.find((l) => l.keys[event.key]);
    const act = layer && (layer.keys[sequence] ?? layer.keys[event.key]);
    if (act) {
      event.preventDefault();
      return act(event);
    }
    if (event.key === "g") {
      prefix = "g";
      prefixAt = event.timeStamp;
    }
  });
}

/** Keys while a component is there; those of the newest component win. */
export function useKeys(keys: Record<string, Handler>): void {
  const layer = useRef({ keys });
  // Taken over while drawing, so that whoever types fast meets what they see.
  layer.current.keys = keys;
  useLayoutEffect(() => {
    const mine = layer.current;
    layers.push(mine);
    return () => {
      layers.splice(layers.indexOf(mine), 1);
    };
  }, []);
}

export const HELP: [keys: string, what: string][] = [
  ["/", "type into the filter"],
  ["g e   g c   g q", "go to experiments, cluster, queue"],
  ["j k   ↑ ↓   PgUp PgDn   Home End", "move through the rows of a table"],
  ["Enter", "open the row"],
  ["x", "select the row"],
  ["c", "compare what is selected"],
  ["1 … 8", "the tabs of an experiment"],
  ["l", "logarithmic axes on and off"],
  ["t", "light or dark"],
  ["↑ ↓   Enter", "on the curves: walk through the trials by rank, open one"],
  ["← →   Enter", "on rungs and dots: the same, along the axis"],
  ["Esc", "clear the filter"],
  ["?", "this list"],
];
