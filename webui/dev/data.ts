/** Made-up experiments for the development server: ASHA on a made-up loss, played event by event. */

import type { Decision, ExperimentRow, Point, RungResult, Rungs } from "../src/data/types.ts";

function random(seed: number): () => number {
  let s = seed >>> 0;
  return () => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return s / 4294967296;
  };
}

interface Trial {
  id: number;
  hparams: Record<string, number | string>;
  final: number;
  units: number;
  rung: number;
  waits: boolean;
  over: "" | "completed" | "stopped" | "errored";
  x: number[];
  y: number[];
  startedAt: number;
  endedAt: number | null;
}

const OPTIMIZERS = ["adamw", "lion", "sgd"];

/** One experiment that grows while it is looked at. */
export class MadeUp {
  readonly id: number;
  readonly name: string;
  readonly lengths = [1, 4, 16, 64];
  readonly eta = 4;
  readonly trials: Trial[] = [];
  readonly results: [number, number, RungResult[2]][][] = [[], [], [], []];
  readonly decisions: Decision[] = [];
  readonly started: number;
  readonly planned: number;
  state = "ACTIVE";
  archived = false;
  seq = 1;
  private readonly next: () => number;
  private readonly slots: number;

  constructor(id: number, name: string, planned: number, steps: number, slots: number, age: number) {
    this.id = id;
    this.name = name;
    this.planned = planned;
    this.slots = slots;
    this.next = random(id * 77 + 1);
    this.started = Date.now() / 1000 - age;
    for (let i = 0; i < steps; i++) this.step(this.started + (age * i) / steps);
  }

  get running(): Trial[] {
    return this.trials.filter((t) => !t.over && !t.waits);
  }

  get best(): Trial | null {
    return this.trials.reduce<Trial | null>(
      (a, t) => (t.y.length && (!a || Math.min(...t.y) < Math.min(...a.y)) ? t : a),
      null,
    );
  }

  /** Every running trial trains one unit; free slots are filled. Returns the new points. */
  step(at: number): Point[] {
    if (this.state !== "ACTIVE") return [];
    this.seq++;
    const points: Point[] = [];
    for (const t of this.running) {
      t.units += 1;
      const wobble = 1 + (this.next() - 0.5) * 0.05;
      const y = (t.final + 2.2 * t.units ** -0.75) * wobble;
      t.x.push(t.units);
      t.y.push(y);
      points.push([t.id, t.units, y]);
      if (this.next() < 0.0006) this.end(t, "errored", at);
      else if (t.units >= this.lengths[t.rung]!) this.report(t, y, at);
    }
    while (this.running.length < this.slots && this.state === "ACTIVE") if (!this.fill(at)) break;
    return points;
  }

  private get byId(): Map<number, Trial> {
    return new Map(this.trials.map((t) => [t.id, t]));
  }

  private end(t: Trial, how: Trial["over"], at: number): void {
    t.over = how;
    t.endedAt = at;
  }

  private report(t: Trial, y: number, at: number): void {
    const rung = this.results[t.rung]!;
    const top = t.rung === this.lengths.length - 1;
    rung.push([t.id, y, top ? "ended" : "waiting"]);
    t.waits = true;
    const rank = rung.filter((r) => r[1] <= y).length;
    const cut = Math.max(1, Math.floor(rung.length / this.eta));
    const said = `#${t.id} reached ${this.lengths[t.rung]} epochs with ${y.toPrecision(4)}`;
    const numbers = { rank, n: rung.length, rung: t.rung, bracket: 0 };
    if (top) {
      this.end(t, "completed", at);
      this.decide(at, t.id, said, [
        { kind: "Close", trial: t.id, length: null, reason: "it finished the last rung", numbers },
      ]);
      return;
    }
    if (rank <= cut) {
      this.promote(t, at, said, `rank ${rank} of ${rung.length}, inside the top 1/${this.eta} (${cut})`, numbers);
    } else if (rung.length > 40 && rank > rung.length * 0.6) {
      rung[rung.length - 1]![2] = "ended";
      this.end(t, "stopped", at);
      this.decide(at, t.id, said, [
        {
          kind: "Close",
          trial: t.id,
          length: null,
          reason: `rank ${rank} of ${rung.length}, outside the top 1/${this.eta} (${cut})`,
          numbers,
        },
      ]);
    } else this.decide(at, t.id, said, []);
  }

  private promote(t: Trial, at: number, said: string, reason: string, numbers: Record<string, unknown>): void {
    const result = this.results[t.rung]!.find((r) => r[0] === t.id)!;
    result[2] = "promoted";
    t.rung += 1;
    t.waits = false;
    this.decide(at, t.id, said, [
      { kind: "ValidateAfter", trial: t.id, length: this.lengths[t.rung]!, reason, numbers },
    ]);
  }

  /** The best waiting trial of the longest rung that has one inside of its top share. */
  private promotable(): [Trial, string] | null {
    for (let k = this.lengths.length - 2; k >= 0; k--) {
      const sorted = [...this.results[k]!].sort((a, b) => a[1] - b[1]);
      const cut = Math.floor(sorted.length / this.eta);
      const at = sorted.slice(0, cut).findIndex((r) => r[2] === "waiting");
      if (at < 0) continue;
      const t = this.byId.get(sorted[at]![0])!;
      return [t, `rank ${at + 1} of ${sorted.length}, now inside the top 1/${this.eta} (${cut})`];
    }
    return null;
  }

  private fill(at: number): boolean {
    if (this.trials.length >= this.planned) {
      const next = this.promotable();
      if (next) {
        this.promote(next[0], at, "a slot is free, and no trial is left to create", next[1], {});
        return true;
      }
    }
    if (this.trials.length >= this.planned) {
      if (this.running.length === 0) this.state = "COMPLETED";
      return false;
    }
    const n = this.next;
    const lr = 10 ** (-5 + 4 * n());
    const dropout = n() * 0.6;
    const layers = 2 + Math.floor(n() * 11);
    const optimizer = OPTIMIZERS[Math.floor(n() * 3)]!;
    const off = Math.abs(Math.log10(lr) + 3.2);
    const final =
      0.2 +
      0.16 * off ** 1.7 +
      Math.abs(layers - 8) * 0.015 +
      dropout * 0.18 +
      (optimizer === "sgd" ? 0.09 : 0) +
      n() * 0.06;
    const id = this.id * 100_000 + this.trials.length + 1;
    this.trials.push({
      id,
      hparams: {
        lr,
        weight_decay: 10 ** (-6 + 4 * n()),
        batch_size: [32, 64, 128, 256, 512][Math.floor(n() * 5)]!,
        n_layers: layers,
        hidden: Math.round(64 * 2 ** (n() * 5)),
        dropout,
        optimizer,
        warmup: n() * 0.2,
        seed: 7,
      },
      final: n() < 0.02 ? final * 6 : final,
      units: 0,
      rung: 0,
      waits: false,
      over: "",
      x: [],
      y: [],
      startedAt: at,
      endedAt: null,
    });
    this.decide(at, null, `a slot is free, and no trial can be promoted`, [
      { kind: "Create", trial: id, length: null, reason: "", numbers: {} },
      { kind: "ValidateAfter", trial: id, length: this.lengths[0]!, reason: "", numbers: {} },
    ]);
    return true;
  }

  private decide(at: number, trial: number | null, said: string, operations: Decision["operations"]): void {
    const kind = trial === null ? "trialClosed" : "validationCompleted";
    this.decisions.push({
      number: this.decisions.length,
      event: this.decisions.length + 1,
      at,
      kind,
      trial,
      said,
      operations,
    });
  }

  rungs(): Rungs {
    return {
      event: this.decisions.length,
      brackets: [
        {
          bracket: null,
          rungs: this.lengths.map((length, k) => {
            const results = this.results[k]!;
            const sorted = results.map((r) => r[1]).sort((a, b) => a - b);
            const at = Math.floor(sorted.length / this.eta) - 1;
            const counts = { promoted: 0, waiting: 0, ended: 0, running: 0 };
            for (const r of results) counts[r[2]]++;
            return {
              length,
              counts,
              results,
              cut: k === this.lengths.length - 1 ? null : (sorted[Math.max(0, at)] ?? null),
            };
          }),
        },
      ],
    };
  }

  row(): ExperimentRow {
    const over = (how: string) => this.trials.filter((t) => t.over === how).length;
    const finished = this.trials.filter((t) => t.over || t.waits).length;
    let so = Number.POSITIVE_INFINITY;
    const all = this.trials.filter((t) => t.y.length).map((t) => (so = Math.min(so, ...t.y)));
    const spark = Array.from(
      { length: Math.min(40, all.length) },
      (_, i) => all[Math.floor((i * all.length) / Math.min(40, all.length))]!,
    );
    return {
      id: this.id,
      name: this.name,
      state: this.state,
      progress: this.state === "COMPLETED" ? 1 : finished / this.planned,
      trials: {
        total: this.trials.length,
        running: this.running.length,
        completed: over("completed"),
        stopped: over("stopped"),
        errored: over("errored"),
      },
      planned: this.planned,
      searcher: "async_halving",
      metric: "val_loss",
      smallerIsBetter: true,
      best: all.length ? so : null,
      spark,
      slots: this.running.length,
      user: "determined",
      startedAt: this.started,
      endedAt: this.state === "COMPLETED" ? Date.now() / 1000 : null,
      archived: this.archived,
      labels: this.id % 5 === 0 ? ["baseline"] : [],
      description: "",
    };
  }

  /** The columns of some trials. */
  columns(trials: readonly Trial[]) {
    const code = (values: string[], v: string) => {
      const at = values.indexOf(v);
      return at >= 0 ? at : values.push(v) - 1;
    };
    const [states, ends]: [string[], string[]] = [[], []];
    const stateOf = (t: Trial) =>
      t.over ? (t.over === "errored" ? "ERROR" : "COMPLETED") : t.waits ? "WAITING" : "RUNNING";
    const columns = {
      id: trials.map((t) => t.id),
      state: { codes: trials.map((t) => code(states, stateOf(t))), values: states },
      units: trials.map((t) => t.units),
      best: trials.map((t) => (t.y.length ? Math.min(...t.y) : null)),
      latest: trials.map((t) => t.y.at(-1) ?? null),
      bestUnits: trials.map((t) => (t.y.length ? t.x[t.y.indexOf(Math.min(...t.y))]! : null)),
      checkpoints: trials.map((t) => t.rung),
      restarts: trials.map((t) => (t.id % 97 === 0 ? 1 : 0)),
      startedAt: trials.map((t) => t.startedAt),
      endedAt: trials.map((t) => t.endedAt),
      end: { codes: trials.map((t) => code(ends, t.over)), values: ends },
    };
    const names = Object.keys(this.trials[0]?.hparams ?? {});
    const hparams = names.map((name) =>
      name === "optimizer"
        ? {
            name,
            kind: "category",
            codes: trials.map((t) => OPTIMIZERS.indexOf(String(t.hparams[name]))),
            values: OPTIMIZERS,
          }
        : { name, kind: "number", values: trials.map((t) => t.hparams[name]) },
    );
    return { seq: this.seq, count: this.trials.length, columns, hparams };
  }
}
