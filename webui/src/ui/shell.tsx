/** The frame around every page: rail, banner, messages. */

import type { ComponentChildren } from "preact";
import { connection, dismiss, lostAt, notices, now, user } from "../app.ts";
import { behind } from "../data/refetch.ts";
import { useKeys } from "../keys.ts";
import { go, path } from "../router.ts";
import { toggleTheme } from "../theme.ts";
import { askHelp, DialogHost } from "./dialog.tsx";
import { focusFilter, Icon } from "./parts.tsx";

const PLACES = [
  ["/experiments", "Experiments", "experiments"],
  ["/cluster", "Cluster", "cluster"],
  ["/queue", "Queue", "queue"],
] as const;

export function Shell({ children }: { children: ComponentChildren }) {
  useKeys({
    "/": focusFilter,
    "g e": () => go("/experiments"),
    "g c": () => go("/cluster"),
    "g q": () => go("/queue"),
    t: toggleTheme,
    "?": askHelp,
  });
  return (
    <>
      <a class="skip" href="#main">
        Skip to content
      </a>
      <nav class="rail" aria-label="Main">
        <a href="/experiments" class="logo" aria-label="Experiments, start page">
          <img src="/assets/icon.svg" width="28" height="28" alt="" />
        </a>
        {PLACES.map(([to, text, icon]) => (
          <a key={to} href={to} aria-current={path.value.startsWith(to) ? "page" : undefined}>
            <Icon name={icon} />
            <span>{text}</span>
          </a>
        ))}
        <div class="grow" />
        <button type="button" class="ghost" aria-label="Keys" title="Keys (?)" onClick={askHelp}>
          <Icon name="keyboard" />
        </button>
        <button
          type="button"
          class="ghost"
          aria-label="Switch between light and dark"
          title="Light or dark (t)"
          onClick={toggleTheme}
        >
          <Icon name="moon" />
        </button>
        <a href="/settings" aria-current={path.value === "/settings" ? "page" : undefined}>
          <Icon name="settings" />
          <span>Settings</span>
        </a>
      </nav>
      <main id="main" class={stale() ? "stale" : ""}>
        <Banner />
        {children}
      </main>
      <Notices />
      <DialogHost />
    </>
  );
}

/** Data that is older than ten seconds because the connection is lost is dimmed. */
function stale(): boolean {
  const lost = lostAt.value;
  return lost !== null && now.value > 0 && performance.now() / 1000 - lost > 10;
}

function Banner() {
  if (user.value === null || lostAt.value === null) return null;
  const since = Math.round(performance.now() / 1000 - lostAt.value);
  if (now.value < 0 || since < 2) return null;
  return (
    <div class="banner" role="status">
      The master does not answer since {since} s. What is shown may be old; it is tried again all the time.
    </div>
  );
}

const WORDS = {
  idle: "",
  connecting: "connecting",
  live: "live",
  reconnecting: "reconnecting",
  paused: "paused",
  resync: "catching up",
} as const;

export function ConnectionMark() {
  if (connection.value === "idle") return null;
  // Live is only what lacks nothing that was told.
  const shown = connection.value === "live" && behind.value > 0 ? "resync" : connection.value;
  return (
    <span class={`connection c-${shown}`} role="status" title="Whether news arrive as they happen">
      {WORDS[shown]}
    </span>
  );
}

function Notices() {
  return (
    <div class="notices" aria-live="polite">
      {notices.value.map((n) => (
        <div key={n.id} class={`notice ${n.kind}`}>
          <span>{n.text}</span>
          <button type="button" aria-label="Dismiss" onClick={() => dismiss(n.id)}>
            ×
          </button>
        </div>
      ))}
    </div>
  );
}

export function PageHead(props: {
  crumbs?: [string, string][];
  title: ComponentChildren;
  sub?: ComponentChildren;
  tools?: ComponentChildren;
}) {
  return (
    <header class="page-head">
      <div class="page-title">
        {props.crumbs && (
          <nav class="crumbs" aria-label="Breadcrumb">
            {props.crumbs.map(([to, text]) => (
              <a key={to} href={to}>
                {text}
              </a>
            ))}
          </nav>
        )}
        <h1>{props.title}</h1>
        {props.sub && <p class="sub">{props.sub}</p>}
      </div>
      <div class="tools">
        <ConnectionMark />
        {props.tools}
      </div>
    </header>
  );
}
