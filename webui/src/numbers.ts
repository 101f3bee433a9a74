/** How numbers are written, as somebody has chosen for this browser. */

import { signal } from "@preact/signals";

export type Digits = "3" | "4" | "6" | "all";
/** What stands between thousands. */
export type Grouping = "comma" | "space" | "none";
export const SEPARATOR: Record<Grouping, string> = { comma: ",", space: "\u202f", none: "" };

function kept<A extends string>(key: string, allowed: readonly A[], usual: A): A {
  // Tests run without a browser, and a browser may refuse to keep anything.
  const found = typeof document === "undefined" ? null : localStorage.getItem(key);
  return allowed.find((a) => a === found) ?? usual;
}

/** Significant digits. */
export const digits = signal<Digits>(kept("digits", ["3", "4", "6", "all"], "4"));
export const grouping = signal<Grouping>(kept("grouping", ["comma", "space", "none"], "comma"));

export function setDigits(to: Digits): void {
  digits.value = to;
  localStorage.setItem("digits", to);
  dispatchEvent(new Event("themechange"));
}

export function setGrouping(to: Grouping): void {
  grouping.value = to;
  localStorage.setItem("grouping", to);
  dispatchEvent(new Event("themechange"));
}
