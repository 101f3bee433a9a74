/** Experiments side by side: how fast each found what it found. */

import { useEffect, useMemo } from "preact/hooks";
import { experimentData, stream } from "../app.ts";
import { LinesChart } from "../charts/lines.ts";
import { bestSoFar, type Over } from "../data/bestSoFar.ts";
import type { ExperimentData } from "../data/experiment.ts";
import type { Loadable } from "../data/loading.ts";
import type { TrialTable } from "../data/trials.ts";
import type { Experiment } from "../data/types.ts";
import { duration, int, num } from "../format.ts";
import { query, setQuery } from "../router.ts";
import { experimentStatus, experimentWord } from "../status.ts";
import { ChartHost } from "../ui/chart.tsx";
import { Card, Elapsed, Empty, Load, Segments, Skeleton, StatusMark, useTitle } from "../ui/parts.tsx";
import { PageHead } from "../ui/shell.tsx";
import { useCalmly } from "./useCalmly.ts";

const CALM_MS = 1000;

interface Compared {
  info: Experiment;
  table: TrialTable;
}

/** All of them, once all are there. */
function together(shown: readonly ExperimentData[]): Loadable<Compared[]> {
  const list: Compared[] = [];
  let waits = false;
  for (const data of shown) {
    const [info, trials] = [data.info.value, data.trials.value];
    if (info.state === "failed") return info;
    if (trials.state === "failed") return trials;
    if (info.state === "ready" && trials.state === "ready") list.push({ info: info.value, table: trials.value });
    else waits = true;
  }
  return waits ? { state: "loading" } : { state: "ready", value: list };
}

export function ComparePage() {
  useTitle("Compare experiments");
  const ids = (query.value.get("e") ?? "")
    .split(",")
    .map(Number)
    .filter((id) => Number.isSafeInteger(id) && id > 0)
    .slice(0, 10);
  const shown = useMemo(() => ids.map(experimentData), [ids.join()]);
  useEffect(() => {
    const ends = shown.map((data) => data.follow(stream));
    return () => {
      for (const end of ends) end();
    };
  }, [shown]);
  const loaded = together(shown);
  const again = () => {
    for (const data of shown) data.load();
  };
  const calm = useCalmly(
    shown.reduce((a, data) => a + data.version.value, 0),
    CALM_MS,
  );
  const over = (query.value.get("over") ?? "trials") as Over;
  const yKind = query.value.get("y") === "log" ? "log" : "lin";
  const names = loaded.state === "ready" ? loaded.value.map((e) => e.info.name).join("\n") : "";
  const series = useMemo(
    () =>
      loaded.state === "ready"
        ? loaded.value.map(({ info, table }, hue) => ({
            name: `${info.id} ${info.name}`,
            hue,
            steps: true,
            ...bestSoFar(table, info.smallerIsBetter, over, info.startedAt),
          }))
        : [],
    [shown, loaded.state, calm, over, names],
  );
  const unit = over === "time" ? "time" : over === "trials" ? "trials" : "work";
  const metrics = loaded.state === "ready" ? new Set(loaded.value.map((e) => e.info.metric)) : new Set<string>();
  return (
    <>
      <PageHead crumbs={[["/experiments", "Experiments"]]} title="Compare experiments" />
      <div class="body">
        {!ids.length ? (
          <Card>
            <Empty title="No experiment chosen">
              <p>Select experiments in the list with x, and press c.</p>
            </Empty>
          </Card>
        ) : (
          <Load of={loaded} again={again} skeleton={<Skeleton rows={2} height={300} />}>
            {(list) => (
              <>
                <Card
                  title="Best so far"
                  note={metrics.size > 1 ? "these experiments do not have the same metric" : [...metrics][0]}
                  tools={
                    <>
                      <Segments
                        label="over"
                        value={over}
                        options={[
                          ["trials", "trials"],
                          ["time", "time"],
                          ["work", "work"],
                        ]}
                        pick={(v) => setQuery({ over: v })}
                      />
                      <Segments
                        label="y"
                        value={yKind}
                        options={[
                          ["lin", "lin"],
                          ["log", "log"],
                        ]}
                        pick={(y) => setQuery({ y })}
                      />
                    </>
                  }
                >
                  <ChartHost
                    name="compare"
                    class="curves"
                    label="Best result so far of each experiment"
                    make={(host) =>
                      new LinesChart(host, {
                        unit,
                        xKind: "lin",
                        yKind,
                        format: over === "time" ? duration : undefined,
                      })
                    }
                    update={(c) => c.set(series, { yKind, unit, format: over === "time" ? duration : undefined })}
                    inputs={[series, yKind]}
                  />
                </Card>
                <Card flush>
                  <div class="scroll-x">
                    <table class="plain-table wide">
                      <thead>
                        <tr>
                          {["Experiment", "State", "Searcher", "Metric", "Best", "Trials", "Elapsed"].map((t) => (
                            <th key={t} scope="col">
                              {t}
                            </th>
                          ))}
                        </tr>
                      </thead>
                      <tbody>
                        {list.map(({ info, table }, hue) => (
                          <tr key={info.id}>
                            <th scope="row">
                              <a class={`key hue-${hue}`} href={`/experiments/${info.id}/overview`}>
                                {info.id} {info.name}
                              </a>
                            </th>
                            <td>
                              <StatusMark status={experimentStatus(info.state)} word={experimentWord(info.state)} />
                            </td>
                            <td>{info.searcher}</td>
                            <td>{info.metric}</td>
                            <td>
                              <b>{num(info.best)}</b>
                            </td>
                            <td>{int(table.id.length)}</td>
                            <td>
                              <Elapsed from={info.startedAt} to={info.endedAt} />
                            </td>
                          </tr>
                        ))}
                      </tbody>
                    </table>
                  </div>
                </Card>
              </>
            )}
          </Load>
        )}
      </div>
    </>
  );
}
