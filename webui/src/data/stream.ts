/**
 * The one WebSocket of this tab. Pages subscribe to topics; the socket is opened with all of them, and a change of
 * topics opens a new one before the old one is closed, so that nothing is lost between.
 */

import { batch } from "@preact/signals";
import type { Message } from "./types.ts";

/** idle: nothing on the page changes by itself. */
export type Connection = "idle" | "connecting" | "live" | "reconnecting" | "paused" | "resync";

export interface Subscriber {
  message(message: Message): void;
  /**
   * From now on everything is told. What was told before may have been missed, which is sure to be noticed by the
   * numbers of messages only if nothing was heard before: then it is not `missed`.
   */
  opened(missed: boolean): void;
}

const HIDDEN_MS = 20_000;
/** The master says something every ten seconds at least; whoever hears nothing for so long has lost it. */
export const SILENCE_MS = 25_000;
const LATE_MS = 2_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 15_000;
/** The code with which the master closes the socket of somebody who has logged out. */
const LOGGED_OUT = 1008;

/** The next wait: twice as long up to a limit, with jitter so that tabs do not come back all at once. */
export function backoff(attempt: number, random: number): number {
  const base = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt);
  return base * (0.7 + 0.6 * random);
}

export class Stream {
  private readonly topics = new Map<string, Set<Subscriber>>();
  private socket: WebSocket | null = null;
  private socketTopics = "";
  /** The one before, until the new one is open. */
  private old: WebSocket | null = null;
  /** Topics of the socket that is open. */
  private open = new Set<string>();
  private heardAt = 0;
  /** The newest version that was told of each of them. */
  private readonly told = new Map<string, number>();
  /** Those who have been told that a socket is open, also when it has been lost since. */
  private readonly greeted = new Set<Subscriber>();
  /** The run of the master that is at the other end; "" before the first greeting. */
  master = "";
  private attempt = 0;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private hide: ReturnType<typeof setTimeout> | undefined;
  private change: ReturnType<typeof setTimeout> | undefined;
  private readonly tell: (state: Connection) => void;
  private readonly refused: () => Promise<boolean>;

  /** refused: asked when a connection was lost; whether that is because nobody is logged in any more. */
  constructor(tell: (state: Connection) => void, refused: () => Promise<boolean>) {
    this.tell = tell;
    this.refused = refused;
    document.addEventListener("visibilitychange", () => this.visibility());
    addEventListener("online", () => this.reopen());
  }

  /** Listens to a topic until the returned function is called. */
  subscribe(topic: string, subscriber: Subscriber): () => void {
    const set = this.topics.get(topic) ?? new Set();
    this.topics.set(topic, set);
    set.add(subscriber);
    if (this.open.has(topic)) {
      // The master has said long ago where it begins.
      const seq = this.told.get(topic);
      this.greeted.add(subscriber);
      subscriber.opened(false);
      if (seq !== undefined) subscriber.message({ topic, since: seq, seq });
    }
    this.later();
    return () => {
      set.delete(subscriber);
      this.greeted.delete(subscriber);
      if (!set.size && this.topics.get(topic) === set) this.topics.delete(topic);
      this.later();
    };
  }

  private later(): void {
    clearTimeout(this.change);
    this.change = setTimeout(() => this.reopen(), 30);
  }

  private wanted(): string {
    return [...this.topics.keys()].sort().join(",");
  }

  private reopen(): void {
    const wanted = this.wanted();
    const alive = this.socket && this.socket.readyState <= WebSocket.OPEN;
    if (document.hidden || (alive && wanted === this.socketTopics)) return;
    clearTimeout(this.retry);
    if (wanted) this.connect(wanted);
    else {
      this.drop();
      this.tell("idle");
    }
  }

  /** Ends the connection without a word to anybody. */
  private drop(): void {
    clearTimeout(this.silence);
    const sockets = [this.socket, this.old];
    this.socket = this.old = null;
    this.open = new Set();
    for (const s of sockets) s?.close();
  }

  private connect(topics: string): void {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/v1/stream?topics=${encodeURIComponent(topics)}`);
    // The one that is open tells everything until the new one is open too.
    const unopened = this.open.size && this.old === null ? null : this.socket;
    this.old ??= this.open.size ? this.socket : null;
    this.socket = socket;
    this.socketTopics = topics;
    unopened?.close();
    if (this.attempt === 0 && !this.old) this.tell("connecting");
    this.listen();
    socket.onmessage = (event) => {
      if (this.socket !== socket && this.old !== socket) return;
      this.heardAt = performance.now();
      const message = JSON.parse(String(event.data)) as Message;
      if (message.topic !== "hello") this.dispatch(message);
      else if (this.socket === socket) this.begin(new Set(topics.split(",")), message.master ?? "");
    };
    socket.onclose = async (event) => {
      if (this.old === socket) {
        this.old = null;
        this.open = new Set();
      }
      if (this.socket !== socket) return;
      this.drop();
      // The login has ended: there is nothing to come back to.
      if (event.code === LOGGED_OUT && (await this.refused())) return;
      this.lost();
    };
  }

  /** The socket is open: whatever happens from now on comes over it. */
  private begin(topics: Set<string>, master: string): void {
    const before = this.old && master === this.master ? this.open : new Set<string>();
    this.old?.close();
    this.old = null;
    this.open = topics;
    this.master = master;
    this.attempt = 0;
    for (const topic of [...this.told.keys()]) if (!before.has(topic) || !topics.has(topic)) this.told.delete(topic);
    batch(() => {
      for (const topic of topics) {
        for (const s of this.topics.get(topic) ?? []) {
          const missed = this.greeted.has(s);
          if (missed && before.has(topic)) continue;
          this.greeted.add(s);
          s.opened(missed);
        }
      }
      this.tell("live");
    });
  }

  /** A connection that is dead need not say so. */
  private listen(): void {
    clearTimeout(this.silence);
    this.heardAt = performance.now();
    const wait = (ms: number) => {
      const due = performance.now() + ms;
      this.silence = setTimeout(() => {
        const left = this.heardAt + SILENCE_MS - performance.now();
        if (left > 0) wait(left);
        // The page itself slept: what has come meanwhile is only heard after this.
        else if (performance.now() - due > LATE_MS) wait(LATE_MS);
        else {
          this.drop();
          this.lost();
        }
      }, ms);
    };
    wait(SILENCE_MS);
  }

  private dispatch(message: Message): void {
    const { topic, seq } = message;
    if (seq !== undefined) this.told.set(topic, Math.max(seq, this.told.get(topic) ?? 0));
    for (const s of [...(this.topics.get(topic) ?? [])]) {
      if (message.resync) s.opened(true);
      else s.message(message);
      if (message.resync && seq !== undefined) s.message({ topic, since: seq, seq });
    }
  }

  private lost(): void {
    if (document.hidden) return;
    this.tell("reconnecting");
    clearTimeout(this.retry);
    this.retry = setTimeout(
      async () => {
        if (!(await this.refused())) this.reopen();
      },
      backoff(this.attempt++, Math.random()),
    );
  }

  private visibility(): void {
    clearTimeout(this.hide);
    if (document.hidden) {
      this.hide = setTimeout(() => {
        this.drop();
        this.tell("paused");
      }, HIDDEN_MS);
    } else this.reopen();
  }
}
