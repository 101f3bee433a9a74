/**
 * Keeps something that is fetched current: calmly while it changes, with one request at a time, and again and again
 * after a failure. What may be old is counted, so that the page does not call it live.
 */

import { signal } from "@preact/signals";
import { backoff } from "./stream.ts";

/** How many things on the page may be older than what the stream has told. */
export const behind = signal(0);

/** One thing that may be behind. */
export class Mark {
  private is = false;

  set(is: boolean): void {
    if (is === this.is) return;
    this.is = is;
    behind.value += is ? 1 : -1;
  }
}

/** Times as long as a request took nothing is asked for, so that large answers are fetched more rarely. */
const REST = 4;

export class Refetcher {
  private readonly fetch: () => Promise<void>;
  private readonly every: number;
  private readonly mark = new Mark();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private due: "no" | "soon" | "now" = "no";
  private last = Number.NEGATIVE_INFINITY;
  private rest = 0;
  private failures = 0;
  private stopped = false;
  running = false;

  /** fetch: fails with what may pass, and sees to all else itself. every: least time from one answer to the next. */
  constructor(fetch: () => Promise<void>, every = 1000) {
    this.fetch = fetch;
    this.every = every;
  }

  /** Something has changed. */
  soon(): void {
    this.stopped = false;
    if (this.running) this.due = this.due === "now" ? "now" : "soon";
    else this.timer ??= setTimeout(() => void this.run(), Math.max(0, this.last + this.rest - performance.now()));
  }

  /** What is there may be old: until it is fetched, the page is behind. Not if there is nothing yet: it says so. */
  now(isFirst = false): void {
    this.stopped = false;
    if (!isFirst) this.mark.set(true);
    if (this.running) this.due = "now";
    else void this.run();
  }

  /** Nobody looks at it any more. */
  stop(): void {
    this.stopped = true;
    this.due = "no";
    clearTimeout(this.timer);
    this.timer = undefined;
    this.mark.set(false);
  }

  private async run(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.running = true;
    this.due = "no";
    const began = performance.now();
    let failed = false;
    try {
      await this.fetch();
    } catch {
      failed = true;
    }
    this.running = false;
    this.last = performance.now();
    this.rest = Math.max(this.every, REST * (this.last - began));
    if (this.stopped) return;
    // Read anew: it may have changed while we waited.
    const due = this.due as "no" | "soon" | "now";
    this.mark.set(failed || due === "now");
    if (due === "now") void this.run();
    else if (failed) this.timer = setTimeout(() => void this.run(), backoff(this.failures++, Math.random()));
    else {
      this.failures = 0;
      if (due === "soon") this.soon();
    }
  }
}
