/** The client of the REST API. Every failure is an ApiError that says what was tried. */

import type * as T from "./types.ts";
import { unfold } from "./unfold.ts";

export class ApiError extends Error {
  readonly status: number;
  /** What was tried, in words for people. */
  readonly tried: string;

  constructor(status: number, tried: string, message: string) {
    super(message);
    this.status = status;
    this.tried = tried;
  }
}

let whenLoggedOut: () => void = () => {};

/** What to do when the master does not know us any more. */
export function onLoggedOut(act: () => void): void {
  whenLoggedOut = act;
}

async function request(tried: string, path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...init });
  } catch {
    throw new ApiError(0, tried, "The master did not answer. Is it running, and can this computer reach it?");
  }
  if (response.ok) return response;
  const message = await said(response);
  if (response.status === 401 && path !== "/ui/session") whenLoggedOut();
  throw new ApiError(response.status, tried, message);
}

async function said(response: Response): Promise<string> {
  try {
    const body = (await response.json()) as { message?: string };
    if (body.message) return body.message;
  } catch {
    // No JSON: the status has to do.
  }
  return `The master answered ${response.status} ${response.statusText}`.trim();
}

/** Of which run of the master, and which version there, an answer is. */
export interface Version {
  master: string;
  seq: number;
}

/** What proxies may have taken out counts as older than all. */
function versionOf(response: Response): Version {
  const [, master = "", seq = "-1"] = /"(\w+)-(\d+)"/.exec(response.headers.get("etag") ?? "") ?? [];
  return { master, seq: Number(seq) };
}

/** least: the version that is known to be there; an answer may otherwise be a second old. */
function asking(accept: string, least: number): RequestInit {
  return { headers: least > 0 ? { accept, "det-at-least": String(least) } : { accept } };
}

async function get<A>(tried: string, path: string, least = 0): Promise<A> {
  return (await (await request(tried, path, asking("application/json", least))).json()) as A;
}

async function getVersion<A>(tried: string, path: string, least: number): Promise<{ value: A; version: Version }> {
  const response = await request(tried, path, asking("application/json", least));
  return { value: (await response.json()) as A, version: versionOf(response) };
}

async function send<A>(tried: string, method: string, path: string, body?: unknown): Promise<A | null> {
  const response = await request(tried, path, {
    method,
    headers: { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return response.status === 204 ? null : ((await response.json()) as A);
}

const UI = "/api/v1/ui";
const V1 = "/api/v1";

export const session = {
  get: () => get<{ user: T.User }>("to see who is logged in", "/ui/session"),
  login: (username: string, password: string) => send("to log in", "POST", "/ui/session", { username, password }),
  loginByToken: (token: string) => send("to log in", "POST", "/ui/session", { token }),
  logout: () => send("to log out", "DELETE", "/ui/session"),
};

export const experiments = {
  /** The newest first; those with an id below the one given. */
  list: (limit: number, before?: number) =>
    get<T.ExperimentList>("to list experiments", `${UI}/experiments${search({ limit, before })}`),
  get: (id: number) => getVersion<T.Experiment>(`to read experiment ${id}`, `${UI}/experiments/${id}`, 0),
  trials: async (id: number, least: number) => {
    const path = `${UI}/experiments/${id}/trials?folded=true`;
    const { value, version } = await getVersion<T.WireTrials>(`to read the trials of experiment ${id}`, path, least);
    return { value: unfold(value), version };
  },
  curves: async (id: number, least: number, limit = 1000, points = 200) => {
    const path = `${UI}/experiments/${id}/curves?limit=${limit}&points=${points}`;
    const response = await request(`to read the curves of experiment ${id}`, path, asking("*/*", least));
    const sampling = response.headers.get("x-curves-sampling") ?? "";
    return { bytes: await response.arrayBuffer(), sampling, version: versionOf(response) };
  },
  decisions: (id: number, query: { before?: number; after?: number; limit?: number; trial?: number } = {}) =>
    get<T.Decisions>(`to read the decisions of experiment ${id}`, `${UI}/experiments/${id}/decisions${search(query)}`),
  /** At most so many results of each rung. */
  rungs: (id: number, limit: number, least: number, event?: number) =>
    get<T.Rungs>(
      `to read the rungs of experiment ${id}`,
      `${UI}/experiments/${id}/rungs${search({ limit, event })}`,
      least,
    ),
  summary: (id: number) =>
    get<{ event: number | null; summary: Record<string, unknown> | null }>(
      `to read what the method of experiment ${id} says of itself`,
      `${UI}/experiments/${id}/summary`,
    ),
  act: (id: number, action: Action) =>
    send(`to ${action} experiment ${id}`, "POST", `${V1}/experiments/${id}/${action}`),
  patch: (id: number, change: unknown) =>
    send(`to change experiment ${id}`, "PATCH", `${V1}/experiments/${id}`, change),
  fork: (parentId: number, config: string) =>
    send<{ experiment: { id: number }; configWarnings?: string[] }>(
      `to fork experiment ${parentId}`,
      "POST",
      `${V1}/experiments`,
      { parentId, config, activate: true },
    ),
  /** As it was submitted, with secrets hidden; the master puts them back into a fork. */
  submitted: (id: number) =>
    get<{ config: string }>(`to read the configuration of experiment ${id}`, `${UI}/experiments/${id}/config`),
  code: (id: number) =>
    get<{ b64Tgz: string }>(`to read the files of experiment ${id}`, `${V1}/experiments/${id}/model_def`),
  /** The newest lines of the logs of some trials, or of all, oldest first. */
  logs: async (id: number, wanted: LogQuery) => {
    const given = Object.entries({ ...wanted, trials: wanted.trials?.join(",") }).filter(([, v]) => v);
    const query = new URLSearchParams(given.map(([k, v]) => [k, String(v)]));
    return get<{ lines: T.LogLine[]; searched: number; trials: number; last: number }>(
      `to read the logs of experiment ${id}`,
      `${UI}/experiments/${id}/logs?${query}`,
    );
  },
  checkpoints: (id: number) =>
    get<{ checkpoints: T.CheckpointJson[]; pagination?: { total: number } }>(
      `to list the checkpoints of experiment ${id}`,
      `${V1}/experiments/${id}/checkpoints?limit=1000&sortByAttr=SEARCHER_METRIC`,
    ),
};

export interface LogQuery {
  /** None: all. */
  trials?: readonly number[];
  limit: number;
  /** The least level that is shown, such as WARNING. */
  level?: string;
  find?: string;
}

export type Action = "pause" | "activate" | "cancel" | "kill" | "archive" | "unarchive";

export const trials = {
  get: (id: number) => get<{ trial: T.TrialJson }>(`to read trial ${id}`, `${V1}/trials/${id}`),
  metrics: (id: number) =>
    get<{ groups: T.TrialMetrics }>(`to read the metrics of trial ${id}`, `${UI}/trials/${id}/metrics`),
  kill: (id: number) => send(`to kill trial ${id}`, "POST", `${V1}/trials/${id}/kill`),
  cancel: (id: number) => send(`to cancel trial ${id}`, "POST", `${V1}/trials/${id}/cancel`),
  story: (id: number) => get<{ sentences: string[] }>(`to read the story of trial ${id}`, `${V1}/trials/${id}/story`),
  checkpoints: (id: number) =>
    get<{ checkpoints: T.CheckpointJson[] }>(
      `to list the checkpoints of trial ${id}`,
      `${V1}/trials/${id}/checkpoints?limit=-1`,
    ),
};

export const cluster = {
  agents: () => get<{ agents: T.Agent[] }>("to list the machines", `${V1}/agents`),
  tasks: () =>
    get<{ allocationIdToSummary: Record<string, T.TaskSummary> }>("to list what runs and waits", `${V1}/tasks`),
  master: () =>
    get<{ version: string; productVersion: string; clusterId: string }>("to read about the master", `${V1}/master`),
};

function search(query: Record<string, number | undefined>): string {
  const given = Object.entries(query).filter(([, v]) => v !== undefined);
  return given.length ? `?${given.map(([k, v]) => `${k}=${v}`).join("&")}` : "";
}

/** A failure in one sentence. */
export function asMessage(e: unknown): string {
  if (e instanceof ApiError) return `It was not possible ${e.tried}: ${e.message}`;
  return e instanceof Error ? e.message : String(e);
}
