import type { Lsn } from '../lib/lsn.ts';

interface Sample {
  at: number;
  lsn: Lsn;
}

const MOST_SAMPLES = 600;

/** When the primary was where: tells how old a replica's state is. Times are milliseconds of one monotonic clock. */
export class LagClock {
  #samples: Sample[] = [];

  /** Latest position of the primary that is known. Null before the first sample. */
  get latest(): Lsn | null {
    return this.#samples.at(-1)?.lsn ?? null;
  }

  add(at: number, lsn: Lsn): void {
    if (this.latest !== null && lsn <= this.latest) return;
    this.#samples.push({ at, lsn });
    if (this.#samples.length > MOST_SAMPLES) this.#samples.splice(1, 1);
  }

  /**
   * Milliseconds since the primary was first seen past `applied`: at most what the replica is behind by, to within the
   * time between two samples. 0 where it has everything; null before the first sample.
   */
  lagOf(applied: Lsn, now: number): number | null {
    if (this.latest === null) return null;
    const missed = this.#samples.find(({ lsn }) => lsn > applied);
    return missed ? now - missed.at : 0;
  }

  forget(): void {
    this.#samples = [];
  }
}
