/**
 * A stand-in for the master, with made-up data, for work on the front end: `node dev/server.ts [PORT] [TRIALS]`.
 *
 * It serves what was built into ../determined/webui_static. Any name and password but "wrong" logs in.
 */

import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { extname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { encodeCurves } from "../src/data/curves.ts";
import { minMax } from "../src/downsample.ts";
import { merit, sampleByMerit } from "../src/merit.ts";
import { MadeUp } from "./data.ts";
import { accept } from "./socket.ts";

const port = Number(process.argv[2] ?? 8089);
const trials = Number(process.argv[3] ?? 10_000);
const STATIC = process.env.WEBUI_STATIC ?? join(import.meta.dirname, "..", "..", "determined", "webui_static");
const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const all = new Map<number, MadeUp>();
const add = (e: MadeUp) => all.set(e.id, e);
add(new MadeUp(2, "vit-b16-cifar100-wide", trials, Math.round(trials / 50), 64, 7200));
add(new MadeUp(1, "first try <img src=x onerror=alert(1)>", 40, 200, 4, 90_000));
for (let i = 3; i <= 30; i++) add(new MadeUp(i, `resnet-sweep-${i}`, 60 + i, i % 4 === 0 ? 90 : 400, 6, 3600 * i));
all.get(4)!.state = "PAUSED";
all.get(7)!.state = "CANCELED";
all.get(9)!.state = "ERROR";

type Answer = { json?: unknown; bytes?: Buffer; type?: string; status?: number; headers?: Record<string, string> };
const json = (value: unknown): Answer => ({ json: value });
const missing = (what: string): Answer => ({ status: 404, json: { message: `${what} not found` } });

/** As the master names versions: by its run, and a number. */
const RUN = "aaaaaaaa";
const versioned = (e: MadeUp, answer: Answer): Answer => ({
  ...answer,
  headers: { ...answer.headers, etag: `"${RUN}-${e.seq}"`, "cache-control": "no-store" },
});

function routes(method: string, path: string, query: URLSearchParams): Answer {
  if (path === "/ui/session")
    return method === "GET"
      ? json({ user: { id: 1, username: "determined", displayName: "", admin: true } })
      : { status: 204 };
  if (path === "/api/v1/ui/experiments") {
    const rows = [...all.values()].map((e) => e.row()).sort((a, b) => b.id - a.id);
    return json({ total: rows.length, counts: {}, experiments: rows.slice(Number(query.get("offset") ?? 0)) });
  }
  if (path === "/api/v1/agents") return json({ agents: [agent()] });
  if (path === "/api/v1/tasks") return json({ allocationIdToSummary: tasks() });
  if (path === "/api/v1/master")
    return json({ version: "0.22.2", productVersion: "dev", clusterId: "00000000-0000-0000-0000-000000000001" });
  const trial = /^\/api\/v1\/(?:ui\/)?trials\/(\d+)\/(\w+)/.exec(path);
  if (trial) return trialRoute(Number(trial[1]), trial[2]!);
  const found = /^\/api\/v1\/(?:ui\/)?experiments\/(\d+)(?:\/(\w+))?/.exec(path);
  const e = found && all.get(Number(found[1]));
  if (!e) return missing(path);
  return versioned(e, experimentRoute(e, found[2] ?? "", path.startsWith("/api/v1/ui/"), query));
}

function experimentRoute(e: MadeUp, what: string, ui: boolean, query: URLSearchParams): Answer {
  const config = {
    name: e.name,
    searcher: { name: "async_halving", metric: "val_loss", max_length: { epochs: 64 } },
    resources: { slots_per_trial: 1 },
    hyperparameters: { lr: { type: "log", minval: -5, maxval: -1, base: 10 } },
  };
  switch (what) {
    case "":
      return ui
        ? json({
            ...e.row(),
            seq: e.seq,
            unit: "epochs",
            maxLength: 64,
            config,
            message: e.state === "ERROR" ? "trial 900012 failed: out of memory" : "",
            hasCode: true,
          })
        : json({ experiment: { originalConfig: "", forkedFrom: null, notes: "" } });
    case "trials":
      return json(e.columns(e.trials));
    case "curves": {
      const known = e.trials.filter((t) => t.y.length);
      const order = merit(
        known.map((t) => Math.min(...t.y)),
        true,
      ).order;
      const sample = sampleByMerit(order, Number(query.get("limit") ?? 1000)).map((i) => known[i]!);
      const bytes = encodeCurves(
        sample.map((t) => {
          const [x, y] = minMax(t.x, t.y, 200);
          return { id: t.id, x, y };
        }),
        e.trials.length,
        e.seq,
      );
      const headers: Record<string, string> =
        sample.length < known.length
          ? { "X-Curves-Sampling": `${sample.length} of ${known.length} trials: best, running and an even sample` }
          : {};
      return { bytes: Buffer.from(bytes), type: "application/octet-stream", headers };
    }
    case "decisions": {
      const before = Number(query.get("before") ?? Number.POSITIVE_INFINITY);
      const trial = query.has("trial") ? Number(query.get("trial")) : null;
      const asked = e.decisions.filter(
        (d) => d.event < before && (trial === null || d.trial === trial || d.operations.some((o) => o.trial === trial)),
      );
      return json({
        seq: e.seq,
        last: e.decisions.length,
        entries: e.decisions.length,
        decisions: asked.slice(-Number(query.get("limit") ?? 200)).reverse(),
      });
    }
    case "rungs":
      return json(e.rungs());
    case "summary":
      return json({ summary: { "trials created": e.trials.length, "reduction factor": e.eta, brackets: 1 } });
    case "checkpoints":
      return json({ checkpoints: e.trials.slice(0, 40).map((t) => checkpoint(t.id, t.units)) });
    case "model_def":
      return json({
        b64Tgz: gzipSync(
          tar({ "train.py": "import determined\n\nprint('training')\n", "lib/data.py": "# data\n" }),
        ).toString("base64"),
      });
    case "pause":
      e.state = "PAUSED";
      break;
    case "activate":
      e.state = "ACTIVE";
      break;
    case "kill":
    case "cancel":
      e.state = "CANCELED";
      break;
    case "archive":
    case "unarchive":
      e.archived = what === "archive";
  }
  e.seq++;
  return json({});
}

function trialRoute(id: number, what: string): Answer {
  const t = [...all.values()].flatMap((e) => e.trials).find((x) => x.id === id);
  if (!t) return missing(`trial ${id}`);
  if (what === "metrics") {
    const groups = {
      training: { units: t.x, metrics: { loss: t.y.map((y) => y * 0.8), accuracy: t.y.map((y) => 1 / (1 + y)) } },
      validation: { units: t.x, metrics: { val_loss: t.y, accuracy: t.y.map((y) => 1 / (1.2 + y)) } },
    };
    return json({ groups });
  }
  if (what === "story") return json({ sentences: [`Trial ${id} was created.`, `It trained for ${t.units} epochs.`] });
  if (what === "checkpoints") return json({ checkpoints: [checkpoint(id, t.units)] });
  const lines = Array.from({ length: 400 }, (_, i) => ({
    result: {
      id: String(i + 1),
      level: i % 60 === 59 ? "LOG_LEVEL_WARNING" : "LOG_LEVEL_INFO",
      log: `epoch ${i}: loss ${(2 / (i + 1)).toFixed(4)}`,
      timestamp: new Date((t.startedAt + i) * 1000).toISOString(),
    },
  }));
  return { bytes: Buffer.from(lines.map((l) => JSON.stringify(l)).join("\n")), type: "application/json" };
}

function checkpoint(trial: number, steps: number) {
  const uuid = `${String(trial).padStart(8, "0")}-0000-4000-8000-000000000000`;
  return {
    uuid,
    state: "STATE_COMPLETED",
    reportTime: new Date().toISOString(),
    resources: { "model.pt": String(120_000_000) },
    metadata: { steps_completed: steps },
    training: { trialId: trial, searcherMetric: 0.42 },
  };
}

function agent() {
  const busy = [...all.values()]
    .flatMap((e) => (e.state === "ACTIVE" ? e.running.map((t) => `${e.id}.${t.id}`) : []))
    .slice(0, 72);
  const slots = Object.fromEntries(
    Array.from({ length: 72 }, (_, i) => [
      String(i),
      {
        id: String(i),
        enabled: true,
        draining: false,
        device: { id: i, brand: "CPU", type: "TYPE_CPU" },
        container: busy[i] ? { id: busy[i] } : null,
      },
    ]),
  );
  return {
    id: "local",
    slots,
    containers: {},
    enabled: true,
    draining: false,
    version: "dev",
    registeredTime: new Date(Date.now() - 9e6).toISOString(),
  };
}

function tasks() {
  const running = [...all.values()].flatMap((e) =>
    e.state === "ACTIVE" ? e.running.map((t) => [e.id, t.id] as const) : [],
  );
  return Object.fromEntries(
    running.map(([e, t], i) => [
      `${e}.${t}`,
      {
        taskId: `${e}.${t}`,
        allocationId: `${e}.${t}`,
        name: `Trial ${t} (Experiment ${e})`,
        registeredTime: new Date().toISOString(),
        slotsNeeded: 1,
        priority: 42,
        state: i < 72 ? "STATE_RUNNING" : "STATE_QUEUED",
        waitingFor: i < 72 ? "" : "1 free slot; 72 of 72 are busy",
      },
    ]),
  );
}

function tar(files: Record<string, string>): Buffer {
  const blocks = Object.entries(files).flatMap(([name, content]) => {
    const head = Buffer.alloc(512);
    head.write(name, 0);
    head.write(content.length.toString(8).padStart(11, "0"), 124);
    head.write("0", 156);
    head.write("ustar", 257);
    return [head, Buffer.from(content), Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

async function page(path: string): Promise<Answer> {
  const file = path.startsWith("/assets/") ? path : "/index.html";
  try {
    return { bytes: await readFile(join(STATIC, file)), type: TYPES[extname(file)] ?? "text/plain" };
  } catch {
    return missing(path);
  }
}

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://localhost");
  const isApi = url.pathname.startsWith("/api/") || url.pathname === "/ui/session";
  let body = "";
  for await (const piece of request) body += piece;
  if (body.includes('"wrong"'))
    return void response
      .writeHead(401, { "content-type": "application/json" })
      .end('{"message":"wrong name or password"}');
  const answer = isApi ? routes(request.method ?? "GET", url.pathname, url.searchParams) : await page(url.pathname);
  const bytes = answer.bytes ?? Buffer.from(answer.json === undefined ? "" : JSON.stringify(answer.json));
  response.writeHead(answer.status ?? 200, {
    "content-type": answer.type ?? "application/json",
    "content-security-policy": CSP,
    ...answer.headers,
  });
  response.end(bytes);
}

const clients = new Set<{ topics: Set<string>; send: (text: string) => void }>();
const server = createServer((request, response) => {
  handle(request, response).catch((e) => response.writeHead(500).end(String(e)));
});
server.on("upgrade", (request, socket) => {
  const topics = new Set((new URL(request.url ?? "/", "http://localhost").searchParams.get("topics") ?? "").split(","));
  const client = { topics, send: accept(request, socket) };
  client.send(JSON.stringify({ topic: "hello", master: RUN }));
  for (const e of all.values()) {
    const topic = `exp:${e.id}`;
    if (topics.has(topic)) client.send(JSON.stringify({ topic, since: e.seq, seq: e.seq }));
  }
  clients.add(client);
  socket.on("close", () => clients.delete(client));
});
setInterval(() => {
  for (const e of all.values()) {
    const [known, since] = [e.decisions.length, e.seq];
    const points = e.step(Date.now() / 1000);
    const topic = `exp:${e.id}`;
    const row = e.row();
    const changed = e.trials.filter((t) => points.some((p) => p[0] === t.id));
    const text = () =>
      JSON.stringify({
        topic,
        since,
        seq: e.seq,
        experiment: row,
        trials: e.columns(changed),
        points,
        decisions: e.decisions.slice(known).reverse(),
        entries: e.decisions.length,
        last: e.decisions.length,
      });
    for (const c of clients) {
      if (c.topics.has(topic)) c.send(text());
      if (c.topics.has("experiments") && points.length)
        c.send(JSON.stringify({ topic: "experiments", experiments: [row] }));
    }
  }
}, 500);
server.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}`));
