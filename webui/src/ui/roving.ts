/** Long lists whose items have controls: Tab leads to those of one item, and the arrow keys to those of the others. */

import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

export const CONTROLS = "a, button, input";

/** items: a selector of the items in the box, all of which have the control to which the keys lead, the last one. */
export function useRoving(box: RefObject<HTMLElement | null>, items: string): (event: KeyboardEvent) => void {
  const at = useRef(0);
  const all = () => [...(box.current?.querySelectorAll<HTMLElement>(items) ?? [])];
  const mark = (list: readonly HTMLElement[]) => {
    const here = Math.min(at.current, list.length - 1);
    list.forEach((item, i) => {
      for (const e of item.querySelectorAll<HTMLElement>(CONTROLS)) e.tabIndex = i === here ? 0 : -1;
    });
  };
  useLayoutEffect(() => mark(all()));
  return (event) => {
    const list = all();
    const from = list.findIndex((item) => item.contains(event.target as Element));
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !list.length || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    // Whoever is on the box itself goes to the item where they were before.
    at.current = from < 0 ? Math.min(at.current, list.length - 1) : Math.max(0, Math.min(list.length - 1, from + step));
    mark(list);
    [...list[at.current]!.querySelectorAll<HTMLElement>(CONTROLS)].at(-1)?.focus();
  };
}
