/** What the master sends, as it comes. */

export interface TrialCounts {
  total: number;
  running: number;
  completed: number;
  stopped: number;
  errored: number;
  canceled?: number;
}

export interface ExperimentRow {
  id: number;
  name: string;
  state: string;
  progress: number | null;
  trials: TrialCounts;
  planned: number | null;
  searcher: string;
  metric: string;
  smallerIsBetter: boolean;
  best: number | null;
  spark: number[];
  slots: number;
  user: string;
  startedAt: number | null;
  endedAt: number | null;
  archived: boolean;
  labels: string[];
  description: string;
}

export interface ExperimentList {
  total: number;
  counts: Record<string, number>;
  experiments: ExperimentRow[];
}

export interface Experiment extends ExperimentRow {
  seq: number;
  unit: string;
  maxLength: number | null;
  config: Record<string, unknown>;
  message: string;
  hasCode: boolean;
}

export interface Coded {
  codes: number[];
  values: string[];
}

export interface WireColumns {
  id: number[];
  state: Coded;
  units: number[];
  best: (number | null)[];
  latest: (number | null)[];
  bestUnits: (number | null)[];
  checkpoints: number[];
  restarts: number[];
  startedAt: number[];
  endedAt: (number | null)[];
  end: Coded;
}

export type WireHparam =
  | { name: string; kind: "number"; values: (number | null)[] }
  | { name: string; kind: "category"; codes: number[]; values: unknown[] };

export interface WireTrials {
  seq: number;
  count: number;
  columns: WireColumns;
  hparams: WireHparam[];
}

export type Point = [trial: number, x: number, y: number];

export interface Operation {
  kind: string;
  trial: number | null;
  length: number | null;
  reason: string;
  numbers: Record<string, unknown>;
}

export interface Decision {
  /** Its place among all, from 0 on. */
  number: number;
  event: number;
  at: number | null;
  kind: string;
  trial: number | null;
  said: string;
  operations: Operation[];
  /** Operations of this decision that were not sent. */
  more?: number;
}

export interface Decisions {
  seq: number;
  last: number;
  entries: number;
  decisions: Decision[];
}

export type RungOutcome = "promoted" | "waiting" | "ended" | "running";
export type RungResult = [trial: number, metric: number | null, outcome: RungOutcome];

export interface Rung {
  length: number;
  /** How many results there are of each outcome; those listed may be a sample. */
  counts: Record<RungOutcome, number>;
  results: RungResult[];
  cut: number | null;
}

export interface Bracket {
  bracket: number | string | null;
  rungs: Rung[];
}

export interface Rungs {
  event: number;
  brackets: Bracket[];
}

export interface MetricGroup {
  units: number[];
  metrics: Record<string, (number | null)[]>;
}
export type TrialMetrics = Record<string, MetricGroup>;

export interface LogLine {
  trial: number;
  /** Its number among the lines of all logs, in the order in which they came. */
  id: number;
  time: number | null;
  level: string;
  text: string;
}

/** A delta of the stream. Trials come as in the snapshot, with only the rows that changed. */
export interface Message {
  topic: string;
  /** Of the greeting: the run of the master, whose numbers are not those of another. */
  master?: string;
  /** The version that the message before led to, and the one that this one leads to. */
  since?: number;
  seq?: number;
  resync?: boolean;
  experiment?: Partial<Experiment>;
  experiments?: ExperimentRow[];
  trials?: ({ columns?: WireColumns; hparams?: WireHparam[]; count?: number } & Partial<WireColumns>) | null;
  points?: Point[];
  decisions?: Decision[];
  /** How many decisions there are in all; missing while the master does not keep up with them. */
  entries?: number;
  /** The newest event that is answered. */
  last?: number;
  /** The configuration, or something else that is not in here, was changed. */
  edited?: boolean;
  /** Ids of experiments that were deleted; true on the topic of one. */
  removed?: number[] | true;
  lines?: { trial: number; id: number | string; time: number | string | null; level: string; text: string }[];
}

export interface User {
  id: number;
  username: string;
  displayName: string;
  admin: boolean;
}

export interface CheckpointJson {
  uuid: string;
  state?: string;
  reportTime?: string | null;
  resources?: Record<string, string | number>;
  metadata?: Record<string, unknown>;
  training?: {
    trialId?: number;
    experimentId?: number;
    searcherMetric?: number | null;
    validationMetrics?: { avgMetrics?: Record<string, number> | null };
  };
}

export interface TrialJson {
  id: number;
  experimentId: number;
  state: string;
  startTime: string;
  endTime: string | null;
  hparams: Record<string, unknown>;
  totalBatchesProcessed: number;
  restarts: number;
  runnerState: string;
  wallClockTime: number;
  checkpointCount: number;
  totalCheckpointSize: string;
  searcherMetricValue: number | null;
  units: number;
  warmStartCheckpointUuid: string | null;
}

export interface Agent {
  id: string;
  slots: Record<
    string,
    {
      id: string;
      enabled: boolean;
      draining: boolean;
      device: { id: number; brand: string; type: string };
      container: { id: string } | null;
    }
  >;
  containers: Record<string, { id: string; parent: string }>;
  enabled: boolean;
  draining: boolean;
  version: string;
  registeredTime: string;
}

export interface TaskSummary {
  taskId: string;
  allocationId: string;
  name: string;
  registeredTime: string;
  slotsNeeded: number;
  priority: number;
  state: string;
  waitingFor: string;
}
