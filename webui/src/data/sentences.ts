/** What a search method answered, in words. */

import { length, num } from "../format.ts";
import type { Decision, Operation } from "./types.ts";

export type Mark = "created" | "onward" | "closed" | "over" | "quiet";

function kindOf(operation: Operation): string {
  return operation.kind.toLowerCase().replaceAll("_", "");
}

/** What is said of the trial that an operation is about. */
function predicate(operation: Operation, unit: string): string {
  switch (kindOf(operation)) {
    case "create":
    case "createtrial":
      return "is created";
    case "validateafter":
      return `trains to ${length(operation.length, unit)}`;
    case "close":
    case "closetrial":
      return "is closed";
    default:
      return operation.kind;
  }
}

/** Operations about one trial, or one about none, as a sentence without its end. */
function said(operations: readonly Operation[], unit: string): string {
  const [first] = operations;
  if (!first) return "";
  if (kindOf(first) === "shutdown") return "the search ends";
  if (kindOf(first) === "progress") {
    return `progress is now ${num(first.length ?? (first.numbers.progress as number | undefined))}`;
  }
  const who = first.trial === null ? "a trial" : `#${first.trial}`;
  return `${who} ${operations.map((o) => predicate(o, unit)).join(", ")}`;
}

export interface Answer {
  readonly text: string;
  readonly why: string;
}

/** What a search method answered: one line for each trial, with the reasons that it gave. */
export function answers(operations: readonly Operation[], unit: string): Answer[] {
  const groups: Operation[][] = [];
  for (const o of operations) {
    const last = groups.at(-1);
    if (last && o.trial !== null && last[0]!.trial === o.trial) last.push(o);
    else groups.push([o]);
  }
  return groups.map((group) => ({
    text: said(group, unit),
    why: [...new Set(group.map((o) => o.reason).filter(Boolean))].join("; "),
  }));
}

/** The shape that stands for a decision: for what it did to the trial that it is about. */
export function markOf(decision: Decision): Mark {
  const kinds = decision.operations.map((o) => [kindOf(o), o.trial] as const);
  const has = (name: string, trial?: number | null) =>
    kinds.some(([k, t]) => k.startsWith(name) && (trial === undefined || t === trial));
  if (has("shutdown")) return "over";
  if (decision.trial !== null && has("validate", decision.trial)) return "onward";
  if (decision.trial !== null && has("close", decision.trial)) return "closed";
  if (has("create")) return "created";
  if (has("validate")) return "onward";
  if (has("close")) return "closed";
  return "quiet";
}
