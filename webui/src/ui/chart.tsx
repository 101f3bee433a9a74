/** Puts a chart, which is a plain class, into a component. */

import { useEffect, useRef } from "preact/hooks";
import type { Chart } from "../charts/base.ts";

interface ChartProps<C extends Chart> {
  name: string;
  label: string;
  class?: string;
  make: (host: HTMLElement) => C;
  /** Called after the chart was made and whenever one of the inputs has changed. */
  update: (chart: C) => void;
  inputs: readonly unknown[];
  /** For while the chart is there; returns what ends it. */
  attach?: (chart: C) => (() => void) | undefined;
  focusable?: boolean;
}

export function ChartHost<C extends Chart>(props: ChartProps<C>) {
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<C | null>(null);
  useEffect(() => {
    const made = props.make(host.current!);
    chart.current = made;
    const end = props.attach?.(made);
    return () => {
      end?.();
      made.destroy();
      chart.current = null;
    };
  }, []);
  useEffect(() => {
    if (chart.current) props.update(chart.current);
  }, [...props.inputs]);
  return (
    <div
      ref={host}
      class={`chart ${props.class ?? ""}`}
      data-chart={props.name}
      role="img"
      aria-label={props.label}
      tabIndex={props.focusable ? 0 : undefined}
    />
  );
}
