type Release = () => unknown;

/** Collects a release beside each acquisition, and runs them last-in-first-out. Running twice is fine. */
export class Releasers {
  #releases: { name: string; release: Release }[] = [];

  add(name: string, release: Release): void {
    this.#releases.push({ name, release });
  }

  get isEmpty(): boolean {
    return this.#releases.length === 0;
  }

  /** Every release runs, though one before it fails; the failures are handed to `failed`. */
  async run(failed: (name: string, error: unknown) => void): Promise<void> {
    for (let next = this.#releases.pop(); next; next = this.#releases.pop()) {
      try {
        await next.release();
      } catch (error) {
        failed(next.name, error);
      }
    }
  }
}
