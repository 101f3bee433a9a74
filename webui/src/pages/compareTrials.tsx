/** Up to ten trials of an experiment side by side. */

import { useMemo } from "preact/hooks";
import { LinesChart } from "../charts/lines.ts";
import { int, num, value } from "../format.ts";
import { query, setQuery } from "../router.ts";
import { ChartHost } from "../ui/chart.tsx";
import { Card, Empty, Load, Segments, Skeleton, StatusMark } from "../ui/parts.tsx";
import type { TabProps } from "./experiment.tsx";

export function CompareTab({ data, info }: TabProps) {
  const asked = (query.value.get("t") ?? "").split(",").filter(Boolean).map(Number).slice(0, 10);
  const version = data.version.value;
  const curves = data.curves.value.state === "ready" ? data.curves.value.value : null;
  const series = useMemo(
    () =>
      asked.flatMap((id, hue) =>
        curves?.byId.has(id) ? [{ name: `#${id}`, hue, x: curves.byId.get(id)!.x, y: curves.byId.get(id)!.y }] : [],
      ),
    [asked.join(), curves, version],
  );
  const xKind = query.value.get("x") === "log" ? "log" : "lin";
  const yKind = query.value.get("y") === "log" ? "log" : "lin";
  const kinds = [
    ["lin", "lin"],
    ["log", "log"],
  ] as const;
  return (
    <div class="body">
      <Load of={data.trials.value} again={() => data.load()}>
        {(table) => {
          const rows = asked.map((id) => table.row.get(id)).filter((r) => r !== undefined);
          if (!rows.length) {
            return (
              <Card>
                <Empty title="No trial chosen">
                  <p>Select trials in the table with x, and press c.</p>
                </Empty>
              </Card>
            );
          }
          const differs = (h: (typeof table.hparams)[number]) => new Set(rows.map((r) => h.values[r])).size > 1;
          const hparams = [...table.hparams.filter(differs), ...table.hparams.filter((h) => !differs(h))];
          return (
            <>
              <Card
                title="Learning curves"
                note={
                  curves && series.length < rows.length
                    ? `${int(rows.length - series.length)} without a curve here`
                    : ""
                }
                tools={
                  <>
                    <Segments label="x" value={xKind} options={kinds} pick={(x) => setQuery({ x })} />
                    <Segments label="y" value={yKind} options={kinds} pick={(y) => setQuery({ y })} />
                  </>
                }
              >
                <Load of={data.curves.value} again={() => data.load()} skeleton={<Skeleton rows={1} height={430} />}>
                  {() => (
                    <ChartHost
                      name="compare"
                      class="curves"
                      label={`${info.metric} of ${rows.length} trials`}
                      make={(host) => new LinesChart(host, { unit: info.unit, xKind, yKind })}
                      update={(c) => c.set(series, { xKind, yKind, unit: info.unit })}
                      inputs={[series, xKind, yKind]}
                    />
                  )}
                </Load>
              </Card>
              <Card title="Side by side" note="differences first" flush>
                <div class="scroll-x">
                  <table class="plain-table">
                    <thead>
                      <tr>
                        <th scope="col">Trial</th>
                        {rows.map((r, hue) => (
                          <th key={r} scope="col">
                            <a
                              class={`key hue-${asked.indexOf(table.id[r]!) < 0 ? hue : asked.indexOf(table.id[r]!)}`}
                              href={`/experiments/${info.id}/trials/${table.id[r]}/metrics`}
                            >
                              #{table.id[r]}
                            </a>
                          </th>
                        ))}
                      </tr>
                    </thead>
                    <tbody>
                      <Line name="state" cells={rows.map((r) => <StatusMark key={r} status={table.status[r]!} />)} />
                      <Line name={`best ${info.metric}`} cells={rows.map((r) => <b key={r}>{num(table.best[r])}</b>)} />
                      <Line name="latest" cells={rows.map((r) => num(table.latest[r]))} />
                      <Line name={info.unit || "units"} cells={rows.map((r) => num(table.units[r]))} />
                      {hparams.map((h) => (
                        <Line
                          key={h.name}
                          name={h.name}
                          same={!differs(h)}
                          cells={rows.map((r) => value(h.values[r]))}
                        />
                      ))}
                    </tbody>
                  </table>
                </div>
              </Card>
            </>
          );
        }}
      </Load>
    </div>
  );
}

function Line({ name, cells, same }: { name: string; cells: preact.ComponentChildren[]; same?: boolean }) {
  return (
    <tr class={same ? "dim" : ""}>
      <th scope="row">{name}</th>
      {cells.map((c, i) => (
        <td key={i}>{c}</td>
      ))}
    </tr>
  );
}
