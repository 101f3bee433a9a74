/** What a search method answered, in words. */

import { length, num } from "../format.ts";
import type { Decision, Operation } from "./types.ts";

export type Mark = "created" | "onward" | "closed" | "over" | "quiet";

function kindOf(operation: Operation): string {
  return operation.kind.toLowerCase().replaceAll("_", "");
}

/** One operation as half a sentence. */
export function operationSaid(operation: Operation, unit: string): string {
  const who = operation.trial === null ? "a trial" : `#${operation.trial}`;
  switch (kindOf(operation)) {
    case "create":
    case "createtrial":
      return `${who} is created`;
    case "validateafter":
      return `${who} trains to ${length(operation.length, unit)}`;
    case "close":
    case "closetrial":
      return `${who} is closed`;
    case "shutdown":
      return "the search ends";
    case "progress":
      return `progress is now ${num(operation.length ?? (operation.numbers.progress as number | undefined))}`;
    default:
      return `${operation.kind} ${operation.trial === null ? "" : who}`.trim();
  }
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

/** Operations with the same reason are told once. */
export function groupByReason(operations: readonly Operation[]): { reason: string; operations: Operation[] }[] {
  const out: { reason: string; operations: Operation[] }[] = [];
  for (const o of operations) {
    const last = out.at(-1);
    if (last && last.reason === (o.reason ?? "")) last.operations.push(o);
    else out.push({ reason: o.reason ?? "", operations: [o] });
  }
  return out;
}
