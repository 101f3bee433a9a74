/** The configuration as YAML, its difference from another experiment's, and forking with a changed one. */

import { useMemo, useState } from "preact/hooks";
import { notify } from "../app.ts";
import { asMessage, experiments } from "../data/api.ts";
import { diffLines } from "../data/diff.ts";
import type { Experiment } from "../data/types.ts";
import { go, query, setQuery } from "../router.ts";
import { Card, Copy, Load, Skeleton } from "../ui/parts.tsx";
import { save } from "../ui/save.ts";
import type { TabProps } from "./experiment.tsx";
import { useFetched } from "./useFetched.ts";

/** What the master shows in place of a secret. */
const HIDDEN = "********";

async function asYaml(config: unknown): Promise<string> {
  const { dump } = await import("js-yaml");
  return dump(config, { lineWidth: 120, noRefs: true });
}

/** The same text for the same configuration, which is another object each time that it was read. */
function useText(config: unknown): string {
  return useMemo(() => JSON.stringify(config), [config]);
}

export function ConfigTab({ info }: TabProps) {
  const fork = query.value.get("fork") === "yes";
  const other = query.value.get("other");
  return (
    <div class="body">
      {fork ? (
        <Fork key={info.id} info={info} />
      ) : other ? (
        <Difference info={info} other={Number(other)} />
      ) : (
        <Plain info={info} />
      )}
    </div>
  );
}

function Plain({ info }: { info: Experiment }) {
  const [yaml, again] = useFetched(() => asYaml(info.config), [info.id, useText(info.config)]);
  return (
    <Card
      title="Configuration"
      note="with all defaults filled in"
      tools={
        <>
          {yaml.state === "ready" && (
            <button
              type="button"
              class="btn small"
              onClick={() => save(`experiment-${info.id}.yaml`, yaml.value, "application/yaml")}
            >
              Download
            </button>
          )}
          <Tools info={info} />
        </>
      }
    >
      <Load of={yaml} again={again}>
        {(text) => <Code text={text} copy />}
      </Load>
    </Card>
  );
}

function Tools({ info }: { info: Experiment }) {
  return (
    <>
      <form
        class="inline"
        onSubmit={(e) => {
          e.preventDefault();
          setQuery({ other: String(new FormData(e.currentTarget).get("other") ?? "") });
        }}
      >
        <label>
          Compare with experiment{" "}
          <input
            name="other"
            inputMode="numeric"
            pattern="[0-9]+"
            size={5}
            defaultValue={query.value.get("other") ?? ""}
            required
          />
        </label>
        <button type="submit" class="btn small">
          Compare
        </button>
      </form>
      <a class="btn small" href={`/experiments/${info.id}/config?fork=yes`}>
        Fork…
      </a>
    </>
  );
}

function Difference({ info, other }: { info: Experiment; other: number }) {
  const [loaded, again] = useFetched(async () => {
    const [theirs, ours] = await Promise.all([
      experiments.get(other).then((e) => asYaml(e.value.config)),
      asYaml(info.config),
    ]);
    return diffLines(theirs, ours);
  }, [info.id, useText(info.config), other]);
  return (
    <Card
      title="Configuration"
      note={`against experiment ${other}`}
      tools={
        <>
          <button type="button" class="chip" aria-pressed="true" onClick={() => setQuery({ other: null })}>
            experiment {other} ×
          </button>
          <Tools info={info} />
        </>
      }
    >
      <Load of={loaded} again={again}>
        {(lines) => (
          <>
            {lines.every((l) => l.kind === "same") && <p class="note">There is no difference.</p>}
            <pre class="code">
              {lines.map((l, i) => (
                <span key={i} class={`line d-${l.kind}`}>
                  {l.kind === "added" ? "+ " : l.kind === "removed" ? "− " : "  "}
                  {l.text}
                  {"\n"}
                </span>
              ))}
            </pre>
          </>
        )}
      </Load>
    </Card>
  );
}

function Fork({ info }: { info: Experiment }) {
  const [loaded, again] = useFetched(async () => {
    const given = (await experiments.submitted(info.id)).config;
    return given.trim() || (await asYaml(info.config));
  }, [info.id]);
  // What was loaded stays what it is: copied into the state it would overwrite what somebody types at once.
  const [edited, setEdited] = useState<string | null>(null);
  const text = edited ?? (loaded.state === "ready" ? loaded.value : "");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const start = async () => {
    setBusy(true);
    setProblem("");
    try {
      const made = await experiments.fork(info.id, text);
      notify("done", `Experiment ${made!.experiment.id} was started.`);
      for (const warning of made!.configWarnings ?? []) notify("failed", warning);
      go(`/experiments/${made!.experiment.id}/overview`);
    } catch (e) {
      setProblem(asMessage(e));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Card title={`Fork ${info.name}`} note="a new experiment with the same code and this configuration">
      <Load of={loaded} again={again} skeleton={<Skeleton rows={1} height={300} />}>
        {() => (
          <>
            <textarea
              class="code editor"
              aria-label="Configuration of the fork"
              spellcheck={false}
              rows={Math.min(36, Math.max(14, text.split("\n").length + 1))}
              value={text}
              onInput={(e) => setEdited(e.currentTarget.value)}
            />
            {text.includes(HIDDEN) && (
              <p class="note">
                Secrets are hidden. What stays {HIDDEN} is taken over from experiment {info.id}.
              </p>
            )}
            {problem && (
              <p class="problem" role="alert">
                {problem}
              </p>
            )}
            <div class="row-end">
              <button type="button" class="btn" onClick={() => setQuery({ fork: null })}>
                Back
              </button>
              <button type="button" class="btn primary" disabled={busy} onClick={() => void start()}>
                {busy ? "Starting…" : "Start the fork"}
              </button>
            </div>
          </>
        )}
      </Load>
    </Card>
  );
}

/** Text with numbered lines. */
export function Code({ text, copy }: { text: string; copy?: boolean }) {
  const lines = useMemo(() => text.replace(/\n$/, "").split("\n"), [text]);
  return (
    <div class="code-box">
      {copy && <Copy text={text} />}
      <pre class="code numbered">
        {lines.map((l, i) => (
          <span key={i} class="line">
            {l}
            {"\n"}
          </span>
        ))}
      </pre>
    </div>
  );
}
