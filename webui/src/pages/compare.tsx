/** Experiments side by side: how fast each found what it found. */

import { useMemo } from "preact/hooks";
import { LinesChart } from "../charts/lines.ts";
import { experiments } from "../data/api.ts";
import { bestSoFar, type Over } from "../data/bestSoFar.ts";
import { fromSnapshot } from "../data/trials.ts";
import { duration, int, num } from "../format.ts";
import { query, setQuery } from "../router.ts";
import { experimentStatus, experimentWord } from "../status.ts";
import { ChartHost } from "../ui/chart.tsx";
import { Card, Elapsed, Empty, Load, Segments, Skeleton, StatusMark, useTitle } from "../ui/parts.tsx";
import { PageHead } from "../ui/shell.tsx";
import { useFetched } from "./useFetched.ts";

export function ComparePage() {
  useTitle("Compare experiments");
  const ids = (query.value.get("e") ?? "").split(",").filter(Boolean).map(Number).slice(0, 10);
  const [loaded, again] = useFetched(
    () =>
      Promise.all(
        ids.map(async (id) => ({ info: await experiments.get(id), table: fromSnapshot(await experiments.trials(id)) })),
      ),
    [ids.join()],
  );
  const over = (query.value.get("over") ?? "trials") as Over;
  const yKind = query.value.get("y") === "log" ? "log" : "lin";
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
    [loaded, over],
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
