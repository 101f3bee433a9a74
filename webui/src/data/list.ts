/** The experiments of the master: fetched in pieces, kept current by the stream. */

import { type Signal, signal } from "@preact/signals";
import { experiments } from "./api.ts";
import { asApiError, type Loadable } from "./experiment.ts";
import type { Stream, Subscriber } from "./stream.ts";
import type { ExperimentRow, Message } from "./types.ts";

const PIECE = 500;
const MOST = 10_000;

export class ExperimentListData implements Subscriber {
  readonly rows: Signal<Loadable<ExperimentRow[]>> = signal({ state: "loading" });
  readonly total = signal(0);
  readonly version = signal(0);
  private loading = false;
  private again = false;
  private readonly waiting: ExperimentRow[] = [];

  follow(stream: Stream): () => void {
    void this.load();
    return stream.subscribe("experiments", this);
  }

  async load(): Promise<void> {
    if (this.loading) {
      this.again = true;
      return;
    }
    this.loading = true;
    try {
      const rows: ExperimentRow[] = [];
      for (;;) {
        const answer = await experiments.list(PIECE, rows.length);
        this.total.value = answer.total;
        rows.push(...answer.experiments);
        const done = !answer.experiments.length || rows.length >= Math.min(answer.total, MOST);
        if (done || this.rows.value.state !== "ready") this.rows.value = { state: "ready", value: rows.slice() };
        if (done) break;
      }
      this.merge(this.waiting.splice(0));
    } catch (e) {
      if (this.rows.value.state !== "ready") this.rows.value = { state: "failed", error: asApiError(e) };
    } finally {
      this.loading = false;
      this.version.value++;
    }
    if (this.again) {
      this.again = false;
      await this.load();
    }
  }

  opened(): void {
    if (!this.loading) void this.load();
  }

  message(message: Message): void {
    if (this.loading) this.waiting.push(...(message.experiments ?? []));
    else this.merge(message.experiments ?? []);
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
