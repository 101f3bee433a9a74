/** Everything that the page of one experiment shows: snapshots, kept current by the stream. */

import { batch, type Signal, signal } from "@preact/signals";
import { ApiError, experiments } from "./api.ts";
import { addPoints, type Curves, decodeCurves } from "./curves.ts";
import type { Stream, Subscriber } from "./stream.ts";
import { applyDelta, fromSnapshot, type TrialTable } from "./trials.ts";
import type { Decision, Experiment, Message, Point } from "./types.ts";

export type Loadable<A> = { state: "loading" } | { state: "ready"; value: A } | { state: "failed"; error: ApiError };

const KEPT_DECISIONS = 200;
const RATE_WINDOW_S = 60;

export class ExperimentData implements Subscriber {
  readonly id: number;
  readonly info: Signal<Loadable<Experiment>> = signal({ state: "loading" });
  readonly trials: Signal<Loadable<TrialTable>> = signal({ state: "loading" });
  readonly curves: Signal<Loadable<Curves>> = signal({ state: "loading" });
  /** Grows with every change of the table, which is changed in place. */
  readonly version = signal(0);
  /** The newest decisions that came over the stream, newest first. */
  readonly decisions: Signal<Decision[]> = signal([]);
  /** Units per minute over the last minute; null until known. */
  readonly rate: Signal<number | null> = signal(null);
  /** Grows with every socket after the first: what was fetched before may be old. */
  readonly opens = signal(0);
  readonly onPoints = new Set<(points: Point[]) => void>();

  private curvesWanted = false;
  private described: Promise<Experiment> | null = null;
  private loading = false;
  private again = false;
  private hasOpened = false;
  private seq = -1;
  private readonly waiting: Message[] = [];
  private readonly pace: [at: number, units: number][] = [];

  constructor(id: number) {
    this.id = id;
  }

  follow(stream: Stream): () => void {
    void this.load();
    return stream.subscribe(`exp:${this.id}`, this);
  }

  /** Fetches all; what the stream says meanwhile is applied afterwards. */
  async load(): Promise<void> {
    if (this.loading) {
      this.again = true;
      return;
    }
    this.loading = true;
    const { id } = this;
    this.described = experiments.get(id);
    await Promise.all([
      settle(this.info, this.described),
      settle(this.trials, experiments.trials(id).then(fromSnapshot)),
      this.curvesWanted ? this.loadCurves() : undefined,
    ]);
    this.loading = false;
    if (this.info.value.state === "ready") this.seq = this.info.value.value.seq;
    this.version.value++;
    for (const m of this.waiting.splice(0)) this.apply(m);
    if (this.again) {
      this.again = false;
      await this.load();
    }
  }

  /** Fetches the curves, which only some views show, and from then on with all the rest. */
  wantCurves(): void {
    if (this.curvesWanted) return;
    this.curvesWanted = true;
    // Whoever wants them before anything is loaded gets them with the rest.
    if (this.described) void this.loadCurves();
  }

  private async loadCurves(): Promise<void> {
    const described = this.described ?? experiments.get(this.id);
    const both = Promise.all([experiments.curves(this.id), described]);
    const decoded = both.then(([{ bytes, sampling }, e]) => decodeCurves(bytes, e.smallerIsBetter, sampling));
    await settle(this.curves, decoded);
  }

  /** A socket was opened: fetch anew what has changed since the snapshots. */
  opened(): void {
    if (this.hasOpened) {
      // What happened while there was none is in no message, and the first message may say its number before we ask.
      this.opens.value++;
      if (this.loading) this.again = true;
      else void this.load();
      return;
    }
    this.hasOpened = true;
    if (this.loading) return;
    if (this.seq < 0) void this.load();
    else
      experiments
        .get(this.id)
        .then((e) => (e.seq !== this.seq ? this.load() : undefined))
        .catch(() => undefined);
  }

  message(message: Message): void {
    if (message.removed) {
      const error = new ApiError(404, `to show experiment ${this.id}`, "It was deleted.");
      this.info.value = { state: "failed", error };
    } else if (this.loading) this.waiting.push(message);
    else this.apply(message);
  }

  private apply(message: Message): void {
    batch(() => {
      if (message.seq !== undefined) this.seq = Math.max(this.seq, message.seq);
      const info = this.info.value;
      if (message.experiment && info.state === "ready") {
        this.info.value = { state: "ready", value: { ...info.value, ...message.experiment } };
      }
      const table = this.trials.value;
      if (message.trials && table.state === "ready") {
        this.measure(table.value, message);
        this.version.value++;
      }
      if (message.points?.length) this.addPoints(message.points);
      if (message.decisions?.length) {
        this.decisions.value = mergeDecisions(message.decisions, this.decisions.value, KEPT_DECISIONS);
      }
    });
  }

  private measure(table: TrialTable, message: Message): void {
    const delta = message.trials!;
    const ids = delta.columns?.id ?? delta.id ?? [];
    const before = ids.reduce((a, id) => a + (table.units[table.row.get(id) ?? -1] ?? 0), 0);
    const rows = applyDelta(table, delta);
    const gained = rows.reduce((a, r) => a + table.units[r]!, 0) - before;
    const now = performance.now() / 1000;
    this.pace.push([now, Math.max(0, gained)]);
    while (this.pace.length && this.pace[0]![0] < now - RATE_WINDOW_S) this.pace.shift();
    const span = now - this.pace[0]![0];
    if (span > 5) this.rate.value = (this.pace.reduce((a, p) => a + p[1], 0) / span) * 60;
  }

  private addPoints(points: Point[]): void {
    const { curves, info } = this;
    if (curves.value.state !== "ready" || info.value.state !== "ready") return;
    const added = addPoints(curves.value.value, points, info.value.value.smallerIsBetter);
    if (added.length) for (const told of this.onPoints) told(added);
  }
}

async function settle<A>(into: Signal<Loadable<A>>, from: Promise<A>): Promise<void> {
  try {
    into.value = { state: "ready", value: await from };
  } catch (e) {
    // What was shown stays: old data, which the header calls stale, is better than none.
    if (into.value.state !== "ready") into.value = { state: "failed", error: asApiError(e) };
  }
}

export function asApiError(e: unknown): ApiError {
  return e instanceof ApiError ? e : new ApiError(0, "to show this", e instanceof Error ? e.message : String(e));
}

/** Newest first, each event once; the newer telling of an event wins. */
export function mergeDecisions(news: readonly Decision[], old: readonly Decision[], limit: number): Decision[] {
  const byEvent = new Map<number, Decision>();
  for (const d of old) byEvent.set(d.event, d);
  for (const d of news) byEvent.set(d.event, d);
  return [...byEvent.values()].sort((a, b) => b.event - a.event).slice(0, limit);
}
