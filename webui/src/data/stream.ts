/**
 * The one WebSocket of this tab. Pages subscribe to topics; the socket is opened with all of them, and a change of
 * topics opens a new one before the old one is closed, so that nothing is lost between.
 */

import type { Message } from "./types.ts";

/** idle: nothing on the page changes by itself. */
export type Connection = "idle" | "connecting" | "live" | "reconnecting" | "paused" | "resync";

export interface Subscriber {
  message(message: Message): void;
  /** A socket with this topic is open: whatever was said before may have been missed. */
  opened(): void;
}

const HIDDEN_MS = 20_000;
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
  private attempt = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private hide: ReturnType<typeof setTimeout> | undefined;
  private change: ReturnType<typeof setTimeout> | undefined;
  private readonly told: (state: Connection) => void;
  private readonly refused: () => Promise<boolean>;

  /** refused: asked when a connection was lost; whether that is because nobody is logged in any more. */
  constructor(told: (state: Connection) => void, refused: () => Promise<boolean>) {
    this.told = told;
    this.refused = refused;
    document.addEventListener("visibilitychange", () => this.visibility());
    addEventListener("online", () => this.reopen());
  }

  /** Listens to a topic until the returned function is called. */
  subscribe(topic: string, subscriber: Subscriber): () => void {
    const set = this.topics.get(topic) ?? new Set();
    this.topics.set(topic, set);
    set.add(subscriber);
    this.later();
    return () => {
      set.delete(subscriber);
      if (!set.size) this.topics.delete(topic);
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
    const old = this.socket;
    this.socket = null;
    if (!wanted) {
      old?.close();
      this.told("idle");
      return;
    }
    this.open(wanted, old);
  }

  private open(topics: string, old: WebSocket | null): void {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/v1/stream?topics=${encodeURIComponent(topics)}`);
    this.socket = socket;
    this.socketTopics = topics;
    if (this.attempt === 0 && !old) this.told("connecting");
    socket.onopen = () => {
      old?.close();
      this.attempt = 0;
      this.told("live");
      for (const topic of topics.split(",")) for (const s of this.topics.get(topic) ?? []) s.opened();
    };
    socket.onmessage = (event) => {
      if (this.socket === socket) this.dispatch(JSON.parse(String(event.data)) as Message);
    };
    socket.onclose = async (event) => {
      if (this.socket !== socket) return;
      old?.close();
      // The login has ended: there is nothing to come back to.
      if (event.code === LOGGED_OUT && (await this.refused())) return;
      this.lost();
    };
  }

  private dispatch(message: Message): void {
    const subscribers = [...(this.topics.get(message.topic) ?? [])];
    if (message.resync) {
      this.told("resync");
      for (const s of subscribers) s.opened();
      this.told("live");
    } else for (const s of subscribers) s.message(message);
  }

  private lost(): void {
    if (document.hidden) return;
    this.told("reconnecting");
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
        const socket = this.socket;
        this.socket = null;
        socket?.close();
        this.told("paused");
      }, HIDDEN_MS);
    } else this.reopen();
  }
}
