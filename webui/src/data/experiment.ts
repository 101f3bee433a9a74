/** Everything that the page of one experiment shows: snapshots, kept current by the stream. */

import { batch, type Signal, signal } from "@preact/signals";
import { ApiError, experiments, type Version } from "./api.ts";
import { addPoints, type Curves, decodeCurves } from "./curves.ts";
import { fetchInto, type Loadable } from "./loading.ts";
import { Pace } from "./pace.ts";
import { Mark, Refetcher } from "./refetch.ts";
import type { Stream, Subscriber } from "./stream.ts";
import { applyDelta, fromSnapshot, type TrialTable } from "./trials.ts";
import type { Decision, Experiment, Message, Point } from "./types.ts";

const KEPT_DECISIONS = 200;
const NOTHING: Version = { master: "", seq: -1 };

/** Somebody who shows what is not in here. */
export interface Watcher {
  /** Something of these trials has changed; null: of the experiment itself. */
  changed(trials: readonly number[] | null): void;
  /** Changes may have been missed. */
  missed(): void;
}

/** What is fetched as a whole, and of which version it is. */
interface Part {
  due: boolean;
  version: Version;
  load(): Promise<Version>;
  readonly into: Signal<Loadable<unknown>>;
}

export class ExperimentData implements Subscriber {
  readonly id: number;
  readonly info: Signal<Loadable<Experiment>> = signal({ state: "loading" });
  readonly trials: Signal<Loadable<TrialTable>> = signal({ state: "loading" });
  readonly curves: Signal<Loadable<Curves>> = signal({ state: "loading" });
  /** Grows with every change of the table, which is changed in place. */
  readonly version = signal(0);
  /** The newest decisions that came over the stream, newest first, with none missing between. */
  readonly decisions: Signal<Decision[]> = signal([]);
  /** How many decisions there are; null while the stream does not say. */
  readonly entries: Signal<number | null> = signal(null);
  /** The newest event that the search method has answered, as far as it is known. */
  readonly lastEvent = signal(0);
  /** Units that all trials gain. */
  readonly pace = new Pace();
  readonly onPoints = new Set<(points: Point[]) => void>();
  readonly watchers = new Set<Watcher>();

  private stream: Stream | null = null;
  private readonly parts: { readonly info: Part; readonly trials: Part; readonly curves: Part };
  private curvesWanted = false;
  private readonly all = new Refetcher(() => this.fetchDue(), 0);
  private readonly details = new Refetcher(() => this.fetchDetails());
  /** Whether the stream has not said yet that what is here is all there is. */
  private readonly unsure = new Mark();
  /** The newest version that the stream has told of, from the run of the master that it belongs to. */
  private heard: Version = NOTHING;
  private readonly waiting: Message[] = [];
  private describing: Promise<unknown> = Promise.resolve();
  private deleted = false;

  constructor(id: number) {
    this.id = id;
    const part = (into: Signal<Loadable<unknown>>, load: () => Promise<Version>): Part => ({
      due: true,
      version: NOTHING,
      load,
      into,
    });
    this.parts = {
      info: part(this.info, async () => {
        const { value, version } = await experiments.get(id);
        if (!this.deleted) this.info.value = { state: "ready", value };
        return version;
      }),
      trials: part(this.trials, async () => {
        const { value, version } = await experiments.trials(id, this.least());
        this.trials.value = { state: "ready", value: fromSnapshot(value) };
        return version;
      }),
      curves: part(this.curves, async () => {
        const { bytes, sampling, version } = await experiments.curves(id, this.least());
        const smaller = await this.smallerIsBetter();
        this.curves.value = { state: "ready", value: decodeCurves(bytes, smaller, sampling) };
        return version;
      }),
    };
    this.parts.curves.due = false;
  }

  follow(stream: Stream): () => void {
    this.stream = stream;
    const isNew = this.shown().some((p) => p.into.value.state !== "ready" || p.due);
    this.unsure.set(!isNew);
    if (isNew) this.load(true);
    const end = stream.subscribe(`exp:${this.id}`, this);
    return () => {
      end();
      this.pace.end();
      this.all.stop();
      this.details.stop();
      this.unsure.set(false);
    };
  }

  /** Fetches all; what the stream says meanwhile is applied afterwards. */
  load(isFirst = false): void {
    for (const part of this.shown()) part.due = true;
    this.all.now(isFirst);
  }

  /** Fetches the curves, which only some views show, and from then on with all the rest. */
  wantCurves(): void {
    if (this.curvesWanted) return;
    this.curvesWanted = true;
    this.parts.curves.due = true;
    if (this.stream) this.all.now(true);
  }

  private shown(): Part[] {
    const { info, trials, curves } = this.parts;
    return this.curvesWanted ? [info, trials, curves] : [info, trials];
  }

  /** The version that answers must have at least, as the stream has told of it. */
  least(): number {
    return this.heard.master === this.stream?.master ? this.heard.seq : 0;
  }

  private async smallerIsBetter(): Promise<boolean> {
    await this.describing;
    const info = this.info.value;
    if (info.state === "ready") return info.value.smallerIsBetter;
    throw new ApiError(0, `to read experiment ${this.id}`, "The master did not say what is better.");
  }

  private async fetchDue(): Promise<void> {
    const due = this.shown().filter((p) => p.due);
    for (const part of due) part.due = false;
    // What is fetched from now on has all of it.
    this.waiting.length = 0;
    const fetched = due.map((part) => this.fetchPart(part));
    this.describing = Promise.allSettled(fetched.filter((_, i) => due[i] === this.parts.info));
    const results = await Promise.allSettled(fetched);
    batch(() => {
      this.version.value++;
      for (const m of this.waiting.splice(0)) this.apply(m);
    });
    const failed = results.find((r) => r.status === "rejected");
    if (failed) throw failed.reason;
  }

  private async fetchPart(part: Part): Promise<void> {
    const show = (change: (old: Loadable<unknown>) => Loadable<unknown>) => {
      part.into.value = change(part.into.value);
    };
    try {
      await fetchInto(show, async () => {
        part.version = await part.load();
      });
    } catch (e) {
      part.due = true;
      throw e;
    }
  }

  /** The configuration and all else that rows of the stream do not have. */
  private async fetchDetails(): Promise<void> {
    const { value, version } = await experiments.get(this.id);
    if (this.deleted) return;
    const info = this.info.value;
    const known = this.parts.info.version;
    if (info.state === "ready" && known.master === version.master && known.seq > version.seq) {
      const { unit, maxLength, config, message, hasCode } = value;
      this.info.value = { state: "ready", value: { ...info.value, unit, maxLength, config, message, hasCode } };
    } else {
      this.info.value = { state: "ready", value };
      this.parts.info.version = version;
    }
  }

  opened(missed: boolean): void {
    if (this.heard.master !== this.stream?.master) this.heard = { master: this.stream?.master ?? "", seq: -1 };
    // The first message tells by its number whether what was fetched before is all.
    this.unsure.set(!missed);
    this.pace.begin(performance.now() / 1000);
    if (missed) {
      this.decisions.value = [];
      this.entries.value = null;
      this.load();
    }
    for (const w of this.watchers) w.missed();
  }

  message(message: Message): void {
    this.unsure.set(false);
    if (message.removed) {
      if (this.info.value.state !== "ready") {
        // Whatever the master answers to this is said.
        this.load(true);
        return;
      }
      this.deleted = true;
      this.all.stop();
      this.details.stop();
      const error = new ApiError(404, `to show experiment ${this.id}`, "It was deleted.");
      this.info.value = { state: "failed", error };
      return;
    }
    if (message.seq !== undefined) this.heard = { ...this.heard, seq: Math.max(this.heard.seq, message.seq) };
    if (this.all.running) this.waiting.push(message);
    else this.apply(message);
  }

  /** Hears of an event that the search method has answered. */
  reached(event: number): void {
    this.lastEvent.value = Math.max(this.lastEvent.value, event);
  }

  /** The version of a part, as far as it can be compared with the stream's. */
  private at(part: Part): number {
    return isOf(part.version.master, this.heard.master) ? part.version.seq : -1;
  }

  private apply(message: Message): void {
    const { seq = 0, since = 0 } = message;
    const { parts } = this;
    const lacking = this.shown().filter((p) => !p.due && p.into.value.state === "ready" && this.at(p) < since);
    for (const part of lacking) part.due = true;
    // What lacks something is read anew; the message is all that there is for the others.
    const news = (part: Part) => this.at(part) < seq && !lacking.includes(part);
    batch(() => {
      const info = this.info.value;
      if (message.experiment && info.state === "ready" && news(parts.info)) {
        this.info.value = { state: "ready", value: { ...info.value, ...message.experiment } };
      }
      const table = this.trials.value;
      if (message.trials && table.state === "ready" && news(parts.trials)) {
        this.measure(table.value, message);
        this.version.value++;
        const curves = this.curves.value;
        if (curves.state === "ready") curves.value.total = Math.max(curves.value.total, table.value.id.length);
      }
      if (message.points?.length && news(parts.curves)) this.addPoints(message.points);
      for (const part of this.shown()) if (news(part)) part.version = { master: this.heard.master, seq };
      this.reached(message.last ?? 0);
      if (message.decisions) this.decide(message.decisions, message.entries ?? null);
      else if (message.experiment) this.entries.value = null;
    });
    if (lacking.length) {
      this.all.now();
      for (const w of this.watchers) w.missed();
    }
    if (message.edited) this.details.soon();
    const ids = message.edited ? null : (message.trials?.columns?.id ?? []);
    if (message.experiment && !lacking.length) for (const w of this.watchers) w.changed(ids);
  }

  private decide(news: readonly Decision[], entries: number | null): void {
    const lowest = entries === null ? 0 : entries - news.length;
    const known = this.decisions.value;
    const follows = known.length > 0 && lowest <= known[0]!.number + 1;
    this.decisions.value = mergeDecisions(news, follows ? known : [], KEPT_DECISIONS);
    this.entries.value = entries;
  }

  private measure(table: TrialTable, message: Message): void {
    const delta = message.trials!;
    const ids = delta.columns?.id ?? delta.id ?? [];
    const before = ids.reduce((a, id) => a + (table.units[table.row.get(id) ?? -1] ?? 0), 0);
    const rows = applyDelta(table, delta);
    const gained = rows.reduce((a, r) => a + table.units[r]!, 0) - before;
    this.pace.add(performance.now() / 1000, gained);
  }

  private addPoints(points: Point[]): void {
    const { curves, info } = this;
    if (curves.value.state !== "ready" || info.value.state !== "ready") return;
    const known = curves.value.value;
    let isRewound = false;
    const added = addPoints(known, points, info.value.value.smallerIsBetter, () => {
      isRewound = true;
    });
    if (isRewound) curves.value = { state: "ready", value: { ...known } };
    else if (added.length) for (const told of this.onPoints) told(added);
  }
}

/** Whether a short name of a run of the master is that of this one; one that nobody told is not. */
function isOf(short: string, master: string): boolean {
  return short !== "" && master.startsWith(short);
}

/**
 * The decisions about a trial, as the master tells them to those who ask for that trial: what is about it comes first in
 * each. null: there are more operations than were told, so that it has to be asked.
 */
export function aboutTrial(decisions: readonly Decision[], trial: number): Decision[] | null {
  if (decisions.some((d) => d.more)) return null;
  return decisions
    .map((d) => {
      const [own, others] = [true, false].map((is) => d.operations.filter((o) => (o.trial === trial) === is));
      return d.trial === trial || own!.length ? { ...d, operations: [...own!, ...others!] } : null;
    })
    .filter((d) => d !== null);
}

/** Newest first, each one once; the newer telling wins. */
export function mergeDecisions(news: readonly Decision[], old: readonly Decision[], limit: number): Decision[] {
  const byNumber = new Map<number, Decision>();
  for (const d of old) byNumber.set(d.number, d);
  for (const d of news) byNumber.set(d.number, d);
  return [...byNumber.values()].sort((a, b) => b.number - a.number).slice(0, limit);
}
