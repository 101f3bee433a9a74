/** The table of an experiment's trials: columns side by side, and rows changed in place as news come. */

import type { Status } from "../status.ts";
import { trialStatus } from "../status.ts";
import type { Message, WireColumns, WireHparam, WireTrials } from "./types.ts";

export interface Hparam {
  readonly name: string;
  kind: "number" | "category";
  /** Numbers as they are; options of a category as text. */
  values: (number | string | null)[];
}

export interface TrialTable {
  readonly id: number[];
  readonly row: Map<number, number>;
  readonly status: Status[];
  readonly state: string[];
  readonly units: number[];
  readonly best: (number | null)[];
  readonly latest: (number | null)[];
  readonly bestUnits: (number | null)[];
  readonly checkpoints: number[];
  readonly restarts: number[];
  readonly startedAt: (number | null)[];
  readonly endedAt: (number | null)[];
  readonly hparams: Hparam[];
}

export function emptyTable(): TrialTable {
  return {
    id: [],
    row: new Map(),
    status: [],
    state: [],
    units: [],
    best: [],
    latest: [],
    bestUnits: [],
    checkpoints: [],
    restarts: [],
    startedAt: [],
    endedAt: [],
    hparams: [],
  };
}

export function fromSnapshot(wire: WireTrials): TrialTable {
  const table = emptyTable();
  merge(table, wire.columns, wire.hparams);
  return table;
}

/** Merges a delta. Returns the rows that changed; new trials are added at the end. */
export function applyDelta(table: TrialTable, delta: NonNullable<Message["trials"]>): number[] {
  const columns = (delta.columns ?? delta) as WireColumns;
  return columns.id ? merge(table, columns, delta.hparams ?? []) : [];
}

const PLAIN = ["units", "best", "latest", "bestUnits", "checkpoints", "restarts", "startedAt", "endedAt"] as const;

function merge(table: TrialTable, wire: Partial<WireColumns> & { id: number[] }, hparams: WireHparam[]): number[] {
  const rows = wire.id.map((id) => rowOf(table, id));
  for (const name of PLAIN) {
    const from = wire[name];
    if (!from) continue;
    const to = table[name] as (number | null)[];
    rows.forEach((row, i) => {
      to[row] = from[i] ?? null;
    });
  }
  const { state, end } = wire;
  if (state) {
    rows.forEach((row, i) => {
      const text = state.values[state.codes[i]!] ?? "";
      const ended = end ? (end.values[end.codes[i]!] ?? "") : "";
      table.state[row] = text;
      table.status[row] = trialStatus(text, ended);
    });
  }
  for (const hp of hparams) mergeHparam(table, rows, hp);
  return rows;
}

function rowOf(table: TrialTable, id: number): number {
  const known = table.row.get(id);
  if (known !== undefined) return known;
  const row = table.id.length;
  table.id.push(id);
  table.row.set(id, row);
  table.status.push("waiting");
  table.state.push("");
  table.units.push(0);
  table.checkpoints.push(0);
  table.restarts.push(0);
  for (const column of [table.best, table.latest, table.bestUnits, table.startedAt, table.endedAt]) column.push(null);
  for (const hp of table.hparams) hp.values.push(null);
  return row;
}

function mergeHparam(table: TrialTable, rows: number[], wire: WireHparam): void {
  let column = table.hparams.find((h) => h.name === wire.name);
  if (!column) {
    column = { name: wire.name, kind: wire.kind, values: new Array(table.id.length).fill(null) };
    table.hparams.push(column);
  }
  if (column.kind !== wire.kind) {
    // Numbers so far, and now something else: all become options.
    column.kind = "category";
    column.values = column.values.map((v) => (v === null ? null : String(v)));
  }
  const { values } = column;
  rows.forEach((row, i) => {
    const v = wire.kind === "number" ? wire.values[i] : wire.values[wire.codes[i]!];
    values[row] = v == null ? null : column.kind === "category" ? asText(v) : (v as number);
  });
}

function asText(v: unknown): string {
  return typeof v === "string" ? v : JSON.stringify(v);
}

/** Hyperparameters that differ between trials; constants tell nothing. */
export function varying(table: TrialTable): Hparam[] {
  return table.hparams.filter((h) => {
    const first = h.values.find((v) => v !== null);
    return h.values.some((v) => v !== null && v !== first);
  });
}

/** How many trials there are of each status. */
export function tally(table: TrialTable): Partial<Record<Status, number>> {
  const out: Partial<Record<Status, number>> = {};
  for (const s of table.status) out[s] = (out[s] ?? 0) + 1;
  return out;
}

/** The row of the best trial; -1 without one. */
export function bestRow(table: TrialTable, smaller: boolean): number {
  let found = -1;
  table.best.forEach((v, row) => {
    if (v === null || Number.isNaN(v)) return;
    const so = found < 0 ? null : table.best[found];
    if (so == null || (smaller ? v < so : v > so)) found = row;
  });
  return found;
}
