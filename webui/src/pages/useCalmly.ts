import { useEffect, useRef, useState } from "preact/hooks";

/** A number that changes at most once in a while. */
export function useCalmly(version: number, every: number): number {
  const [calm, set] = useState(version);
  const last = useRef(performance.now());
  useEffect(() => {
    const timer = setTimeout(
      () => {
        last.current = performance.now();
        set(version);
      },
      Math.max(0, last.current + every - performance.now()),
    );
    return () => clearTimeout(timer);
  }, [version]);
  return calm;
}
