/** Light or dark, as the system says unless somebody chose. */

import { signal } from "@preact/signals";
import { forgetPalette } from "./palette.ts";

export type Choice = "system" | "light" | "dark";
const KEY = "theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

export const choice = signal<Choice>((localStorage.getItem(KEY) as Choice | null) ?? "system");

function apply(): void {
  const theme = choice.value === "system" ? (dark.matches ? "dark" : "light") : choice.value;
  document.documentElement.dataset.theme = theme;
  forgetPalette();
  dispatchEvent(new Event("themechange"));
}

export function setTheme(to: Choice): void {
  choice.value = to;
  if (to === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, to);
  apply();
}

export function toggleTheme(): void {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
}

export type Density = "comfortable" | "compact";
export const density = signal<Density>((localStorage.getItem("density") as Density | null) ?? "comfortable");

export function setDensity(to: Density): void {
  density.value = to;
  localStorage.setItem("density", to);
  document.documentElement.dataset.density = to;
}

export function startTheme(): void {
  dark.addEventListener("change", apply);
  document.documentElement.dataset.density = density.value;
  apply();
}
