/** How much is done in a minute: over the last minute that was watched, as the clock has it and not the news. */

const WINDOW_S = 60;
const LEAST_S = 5;

export class Pace {
  private since: number | null = null;
  private gains: [at: number, gained: number][] = [];

  /** From now on everything that is gained is told. */
  begin(now: number): void {
    this.since = now;
    this.gains = [];
  }

  /** Nothing is told any more. */
  end(): void {
    this.since = null;
  }

  add(now: number, gained: number): void {
    this.gains = this.gains.filter(([at]) => at > now - WINDOW_S);
    this.gains.push([now, Math.max(0, gained)]);
  }

  /** What is gained in a minute; null until it was watched for a while. Times are in seconds of any clock. */
  at(now: number): number | null {
    if (this.since === null || now - this.since < LEAST_S) return null;
    const sum = this.gains.reduce((a, [at, gained]) => a + (at > now - WINDOW_S ? gained : 0), 0);
    return (60 * sum) / Math.min(WINDOW_S, now - this.since);
  }
}
