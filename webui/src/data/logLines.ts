/** The newest lines of the logs of some trials, kept current by the stream: also those that come after a trial's end. */

import { type Signal, signal } from "@preact/signals";
import { experiments } from "./api.ts";
import { fetchInto, type Loadable, type Show } from "./loading.ts";
import { catchUp, isAtLeast, mergeLines, readLine } from "./logs.ts";
import { Mark, Refetcher } from "./refetch.ts";
import type { Stream, Subscriber } from "./stream.ts";
import type { LogLine, Message } from "./types.ts";

const LAST = 2000;
const KEPT = 20_000;

export interface WantedLines {
  readonly experiment: number;
  /** null: all. */
  readonly trials: readonly number[] | null;
  /** The least level; "" for any. */
  readonly level: string;
  readonly find: string;
}

export class LogLines implements Subscriber {
  readonly lines: Signal<Loadable<LogLine[]>>;
  /** How many logs were searched, and how many there are; null until known. */
  readonly searched: Signal<{ searched: number; trials: number } | null> = signal(null);
  private readonly wanted: WantedLines;
  readonly topic: string;
  private readonly isWanted: (line: LogLine) => boolean;
  private readonly reader = new Refetcher(() => this.read());
  /** Whether the stream has not said yet that what is here is all there is. */
  private readonly unsure = new Mark();
  /** The number of the newest line up to which all are here, whatever their logs; null before they were read. */
  private last: number | null = null;
  private readonly waiting: Message[] = [];

  /** topic: that tells the lines of the trials, and maybe those of others. before: lines some of which may be wanted. */
  constructor(wanted: WantedLines, topic: string, before: readonly LogLine[] = []) {
    this.wanted = wanted;
    this.topic = topic;
    const trials = wanted.trials && new Set(wanted.trials);
    const find = wanted.find.toLowerCase();
    this.isWanted = (l) =>
      (trials === null || trials.has(l.trial)) &&
      isAtLeast(l.level, wanted.level) &&
      l.text.toLowerCase().includes(find);
    const known = before.filter(this.isWanted);
    const isNone = trials?.size === 0;
    this.lines = signal(known.length || isNone ? { state: "ready", value: known } : { state: "loading" });
  }

  /** delay: until they are read; whoever types is not answered for every letter. */
  follow(stream: Stream, delay = 0): () => void {
    if (this.wanted.trials?.length === 0) return () => {};
    const timer = delay ? setTimeout(() => this.load(), delay) : undefined;
    if (!delay) this.load();
    const end = stream.subscribe(this.topic, this);
    return () => {
      end();
      clearTimeout(timer);
      this.reader.stop();
      this.unsure.set(false);
    };
  }

  load(): void {
    this.reader.now(this.lines.value.state !== "ready");
  }

  private async read(): Promise<void> {
    this.waiting.length = 0;
    const show: Show<LogLine[]> = (change) => {
      this.lines.value = change(this.lines.value);
    };
    await fetchInto(show, async () => {
      const { experiment, trials, level, find } = this.wanted;
      const found = await experiments.logs(experiment, { trials: trials ?? undefined, limit: LAST, level, find });
      const { last } = this;
      this.last = found.last;
      this.searched.value = { searched: found.searched, trials: found.trials };
      show((old) => ({
        state: "ready",
        value: last === null || old.state !== "ready" ? found.lines : catchUp(old.value, last, found.lines, LAST, KEPT),
      }));
    });
    for (const m of this.waiting.splice(0)) this.apply(m);
  }

  opened(missed: boolean): void {
    // The first message tells by its numbers whether what was read before is all.
    this.unsure.set(!missed);
    if (missed) this.load();
  }

  message(message: Message): void {
    this.unsure.set(false);
    if (message.removed) this.load();
    else if (this.reader.running || this.last === null) this.waiting.push(message);
    else this.apply(message);
  }

  private apply({ since = 0, seq = 0, lines = [] }: Message): void {
    if (since > (this.last ?? 0)) {
      this.load();
      return;
    }
    this.last = Math.max(this.last ?? 0, seq);
    const news = lines.map(readLine).filter(this.isWanted);
    if (!news.length || this.lines.value.state !== "ready") return;
    this.lines.value = { state: "ready", value: mergeLines(this.lines.value.value, news, KEPT) };
  }
}
