/** The experiments of the master: fetched in pieces, kept current by the stream. */

import { type Signal, signal } from "@preact/signals";
import { experiments } from "./api.ts";
import { fetchInto, type Loadable, type Show } from "./loading.ts";
import { Refetcher } from "./refetch.ts";
import type { Stream, Subscriber } from "./stream.ts";
import type { ExperimentRow, Message } from "./types.ts";

const PIECE = 500;
const MOST = 10_000;

export class ExperimentListData implements Subscriber {
  readonly rows: Signal<Loadable<ExperimentRow[]>> = signal({ state: "loading" });
  readonly version = signal(0);
  private readonly fetching = new Refetcher(() => this.fetch(), 0);
  private readonly waiting: Message[] = [];
  private readonly show: Show<ExperimentRow[]> = (change) => {
    this.rows.value = change(this.rows.value);
  };

  follow(stream: Stream): () => void {
    this.load(this.rows.value.state !== "ready");
    const end = stream.subscribe("experiments", this);
    return () => {
      end();
      this.fetching.stop();
    };
  }

  load(isFirst = false): void {
    this.fetching.now(isFirst);
  }

  private async fetch(): Promise<void> {
    this.waiting.length = 0;
    try {
      await fetchInto(this.show, () => this.fetchPieces());
    } finally {
      for (const m of this.waiting.splice(0)) this.apply(m);
      this.version.value++;
    }
  }

  /** The newest first, and each piece behind the one before: by id, as others come and go meanwhile. */
  private async fetchPieces(): Promise<void> {
    const rows: ExperimentRow[] = [];
    for (;;) {
      const { experiments: piece } = await experiments.list(PIECE, rows.at(-1)?.id);
      rows.push(...piece);
      const done = piece.length < PIECE || rows.length >= MOST;
      if (done || this.rows.value.state !== "ready") this.show(() => ({ state: "ready", value: rows.slice() }));
      if (done) return;
    }
  }

  opened(): void {
    this.load();
  }

  message(message: Message): void {
    if (this.fetching.running) this.waiting.push(message);
    else this.apply(message);
  }

  private apply(message: Message): void {
    this.merge(message.experiments ?? []);
    if (Array.isArray(message.removed) && message.removed.length) this.remove(new Set(message.removed));
  }

  private remove(gone: ReadonlySet<number>): void {
    if (this.rows.value.state !== "ready") return;
    this.rows.value = { state: "ready", value: this.rows.value.value.filter((r) => !gone.has(r.id)) };
    this.version.value++;
  }

  private merge(news: readonly ExperimentRow[]): void {
    if (!news.length || this.rows.value.state !== "ready") return;
    this.rows.value = { state: "ready", value: mergeRows(this.rows.value.value, news) };
    this.version.value++;
  }
}

/** Changed rows take the place of the old ones; new ones are added. */
export function mergeRows(rows: readonly ExperimentRow[], news: readonly ExperimentRow[]): ExperimentRow[] {
  const place = new Map(rows.map((r, i) => [r.id, i]));
  const out = rows.slice();
  for (const row of news) {
    const at = place.get(row.id);
    if (at === undefined) {
      place.set(row.id, out.length);
      out.push(row);
    } else out[at] = { ...out[at], ...row };
  }
  return out;
}
