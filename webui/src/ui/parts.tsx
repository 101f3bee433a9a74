/** Small parts that all pages are made of. */

import { Component, type ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { now } from "../app.ts";
import { asApiError, type Loadable } from "../data/loading.ts";
import { ago, duration } from "../format.ts";
import { MEANING, type Status } from "../status.ts";

export function StatusMark({ status, word }: { status: Status; word?: string }) {
  return (
    <span class={`status s-${status}`} title={MEANING[status]}>
      <i aria-hidden="true" />
      {word ?? status}
    </span>
  );
}

interface CardProps {
  title?: ComponentChildren;
  note?: ComponentChildren;
  tools?: ComponentChildren;
  class?: string;
  flush?: boolean;
  children?: ComponentChildren;
}

/** A card; what fails inside of it does not take the page along. */
export function Card({ title, note, tools, children, flush, class: more = "" }: CardProps) {
  return (
    <section class={`card ${flush ? "flush" : ""} ${more}`}>
      {(title || tools) && (
        <div class="card-head">
          {title && <h2>{title}</h2>}
          {note && <span class="note">{note}</span>}
          <div class="grow" />
          {tools}
        </div>
      )}
      <Guard>{children}</Guard>
    </section>
  );
}

class Guard extends Component<{ children: ComponentChildren }, { error: unknown }> {
  override state = { error: null as unknown };
  override componentDidCatch(error: unknown) {
    console.error(error);
    this.setState({ error });
  }
  override render() {
    if (this.state.error === null) return this.props.children;
    return <Failure error={this.state.error} again={() => this.setState({ error: null })} />;
  }
}

export function Failure({ error, again }: { error: unknown; again?: () => void }) {
  const { tried, message } = asApiError(error);
  return (
    <div class="failure" role="alert">
      <h3>It was not possible {tried}</h3>
      <p>{message}</p>
      {again && (
        <button type="button" class="btn" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

/** The bones of what is to come; they show after a moment, so that what is fast does not flicker. */
export function Skeleton({ rows = 6, height = 22 }: { rows?: number; height?: number }) {
  return (
    <div class="skeleton" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => (
        <div key={i} style={{ height: `${height}px` }} />
      ))}
    </div>
  );
}

export function Load<A>(props: {
  of: Loadable<A>;
  again: () => void;
  skeleton?: ComponentChildren;
  children: (value: A) => ComponentChildren;
}) {
  const { of, again, skeleton, children } = props;
  if (of.state === "ready") return <>{children(of.value)}</>;
  if (of.state === "failed") return <Failure error={of.error} again={again} />;
  return <>{skeleton ?? <Skeleton />}</>;
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h3>{title}</h3>
      {children}
    </div>
  );
}

/** One of a few values, side by side. */
export function Segments<V extends string>(props: {
  label: string;
  value: V;
  options: readonly (readonly [V, string])[];
  pick: (value: V) => void;
}) {
  return (
    <div class="segments" role="group" aria-label={props.label}>
      <span aria-hidden="true">{props.label}</span>
      {props.options.map(([value, text]) => (
        <button type="button" key={value} aria-pressed={value === props.value} onClick={() => props.pick(value)}>
          {text}
        </button>
      ))}
    </div>
  );
}

export function Ago({ at }: { at: number | null }) {
  return <time title={at === null ? "" : new Date(at * 1000).toLocaleString()}>{ago(at, now.value)}</time>;
}

/** Time since a start, running until an end. */
export function Elapsed({ from, to }: { from: number | null; to: number | null }) {
  if (from === null) return <>–</>;
  return <span class={to === null ? "running-time" : ""}>{duration((to ?? now.value) - from)}</span>;
}

export function FilterBox(props: {
  value: string;
  set: (v: string) => void;
  hint: string;
  label: string;
  problem?: string;
}) {
  const box = useRef<HTMLInputElement>(null);
  return (
    <label class={`search ${props.problem ? "wrong" : ""}`}>
      <span class="hidden-label">{props.label}</span>
      <input
        ref={box}
        type="search"
        class="filter-box"
        placeholder={props.hint}
        title={props.problem || props.hint}
        value={props.value}
        spellcheck={false}
        aria-invalid={Boolean(props.problem)}
        onInput={(e) => props.set(e.currentTarget.value)}
      />
      <kbd>/</kbd>
      {props.problem && <em role="status">{props.problem}</em>}
    </label>
  );
}

export function focusFilter(): void {
  document.querySelector<HTMLInputElement>(".filter-box")?.focus();
}

export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const button = useRef<HTMLButtonElement>(null);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    if (button.current) button.current.dataset.done = "1";
    setTimeout(() => button.current?.removeAttribute("data-done"), 1500);
  };
  return (
    <button type="button" class="copy" ref={button} onClick={copy} title={text}>
      {label}
    </button>
  );
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title;
  }, [title]);
}

const PATHS = {
  experiments: "M4 6c6 0 5 11 16 11M4 6c5 0 6 6 11 6M4 6c3 0 4.5 2 7 2",
  cluster: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  queue: "M4 6h16M4 12h11M4 18h6",
  settings: "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4",
  moon: "M12 3.5a8.5 8.5 0 1 0 8.5 8.5 6.5 6.5 0 0 1-8.5-8.5z",
  keyboard: "M3 7h18v10H3zM7 10.5h.01M11 10.5h.01M15 10.5h.01M8 14h8",
  folder: "M3 7h6l2 2h10v10H3z",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
} as const;

export function Icon({ name, size = 18 }: { name: keyof typeof PATHS; size?: number }) {
  return (
    <svg viewBox="0 0 24 24" width={size} height={size} class="icon" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
