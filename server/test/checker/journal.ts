/** What happened in a run and when, for the report of a difference. */
export class Journal {
  readonly #notes: { at: number; what: string }[] = [];
  readonly #start = Date.now();

  note(what: string): void {
    this.#notes.push({ at: Date.now(), what });
  }

  /** At most `most` lines: those before the moment first of all, since the cause lies there. */
  around(moment: number | undefined, most = 80): string[] {
    const after = moment === undefined ? -1 : this.#notes.findIndex(({ at }) => at > moment);
    const end = after === -1 ? this.#notes.length : Math.min(this.#notes.length, after + Math.floor(most / 4));
    return this.#notes.slice(Math.max(0, end - most), end).map(({ at, what }) => `${this.shown(at)} ${what}`);
  }

  /** Seconds since the run began. */
  shown(at: number): string {
    return `${((at - this.#start) / 1000).toFixed(3).padStart(8)} s`;
  }
}
