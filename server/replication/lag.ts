import type { Lsn } from '../lib/lsn.ts';

interface Sample {
  at: number;
  lsn: Lsn;
}

const MOST_SAMPLES = 300;
/** Samples of one moment: the latest stands for all. */
const MOMENT_MS = 2;

/** When the primary was where: tells how old a replica's state is. Times are milliseconds of one monotonic clock. */
export class LagClock {
  #samples: Sample[] = [];

  /** Latest position of the primary that is known. Null before the first sample. */
  get latest(): Lsn | null {
    return this.#samples.at(-1)?.lsn ?? null;
  }

  add(at: number, lsn: Lsn): void {
    if (this.latest !== null && lsn <= this.latest) return;
    const before = this.#samples.at(-2);
    if (before && at - before.at < MOMENT_MS) this.#samples.pop();
    this.#samples.push({ at, lsn });
    if (this.#samples.length > MOST_SAMPLES) this.#samples.splice(this.#leastTelling(at), 1);
  }

  /**
   * The one whose neighbours are closest together, for its age: what stays covers all time, at any rate of writes, and
   * tells ages apart to within some percent of them. The first and the latest stay.
   */
  #leastTelling(now: number): number {
    let [least, smallest] = [1, Infinity];
    for (let index = 1; index < this.#samples.length - 1; index++) {
      const share = (this.#samples[index + 1]!.at - this.#samples[index - 1]!.at) / (now - this.#samples[index]!.at);
      if (share < smallest) [least, smallest] = [index, share];
    }
    return least;
  }

  /**
   * Milliseconds since the primary was first seen past `applied`: at most what the replica is behind by, to within the
   * time between two samples. 0 where it has everything; null before the first sample.
   */
  lagOf(applied: Lsn, now: number): number | null {
    if (this.latest === null) return null;
    const known = this.#samples.findLastIndex(({ lsn }) => lsn <= applied);
    const missed = this.#samples[known + 1];
    return missed ? now - missed.at : 0;
  }

  forget(): void {
    this.#samples = [];
  }
}
