import type { Complain } from '../lib/complaints.ts';
import type { Lsn } from '../lib/lsn.ts';
import type { Noted, Proof } from '../database/sql/positions.ts';

export interface TrustOptions {
  /** Asks the replica. */
  prove: (positions: readonly Lsn[]) => Promise<Proof>;
  /** Asks the primary; undefined: nothing is noted. Rejects where it cannot be asked. */
  noted: (slot: string) => Promise<Noted | undefined>;
  /** Tells the primary. */
  note: (slot: string, logId: bigint, at: Lsn, isLost: boolean) => Promise<void>;
  /** The replica was found to have lost a transaction that ended at `missing`. */
  lost: (missing: Lsn) => void;
  complain: Complain;
}

const NOT_NOTED = 'The primary was not told what was seen on a replica, or did not tell it: that is tried again.';

/** Of the positions seen, so many at most: who is past it keeps every second one of the older half. */
const MOST_SEEN = 1000;

/**
 * Whether a replica still has what was seen there. Its crash may take back the end of its history. What its apply worker
 * had not confirmed is sent again, and what it had confirmed is not: see docs/positions.md. So after every connection
 * that broke the replica is believed again once it is at or past everything that was seen there, and none of that lies
 * inside a transaction which followed directly on an earlier position.
 */
export class Trust {
  readonly #options: TrustOptions;
  #seen: Lsn[] = [];
  #logId: bigint | undefined;
  #verdict: 'doubtful' | 'proven' | 'lost' = 'doubtful';
  /** The primary could not be asked what others have seen. */
  #isOwedNotes = false;
  #isCopying = false;
  #notedAt: Lsn | undefined;

  constructor(options: TrustOptions) {
    this.#options = options;
  }

  get isProven(): boolean {
    return this.#verdict === 'proven';
  }

  get isLost(): boolean {
    return this.#verdict === 'lost';
  }

  /** A connection broke: it may have been a crash. */
  doubt(): void {
    if (this.#verdict === 'proven') this.#verdict = 'doubtful';
  }

  /** Whether tables are being copied: when that has ended it may have another log, and is asked again. */
  copies(isCopying: boolean): void {
    this.#isOwedNotes ||= this.#isCopying && !isCopying;
    this.#isCopying = isCopying;
  }

  /** Its latest transaction ended there, and could be read. */
  saw(position: Lsn): void {
    if (!this.isProven || position <= (this.#seen.at(-1) ?? 0n)) return;
    this.#seen.push(position);
    if (this.#seen.length > MOST_SEEN)
      this.#seen = this.#seen.filter((_, index) => index % 2 === 1 || index > MOST_SEEN / 2);
  }

  /** To be called where the replica is not proven, or `canAsk`: the primary can be reached. */
  async settle(slot: string, canAsk: boolean): Promise<void> {
    if (this.isProven && !(this.#isOwedNotes && canAsk)) return;
    const noted = canAsk ? await this.#options.noted(slot).catch(this.#unknown) : 'unknown';
    this.#isOwedNotes = noted === 'unknown';
    const others = noted === 'unknown' ? undefined : noted;
    const positions = [...new Set([...this.#seen, ...(others?.positions ?? [])])];
    const proof = await this.#options.prove(positions);
    // Copied again: what was seen was of the log before.
    if (this.#logId !== undefined && this.#logId !== proof.logId) this.#seen = [];
    this.#logId = proof.logId;
    await this.#judge(slot, proof, others?.logId === proof.logId ? others : undefined);
  }

  async #judge(slot: string, { settled, missing, logId }: Proof, noted: Noted | undefined): Promise<void> {
    const lost = noted?.lost ?? missing;
    if (lost !== null) {
      if (this.#verdict !== 'lost') this.#options.lost(lost);
      this.#verdict = 'lost';
      if (noted?.lost == null) await this.#options.note(slot, logId, lost, true).catch(this.#unknown);
      return;
    }
    const latest = [...this.#seen, ...(noted?.positions ?? [])].reduce((a, b) => (a > b ? a : b), 0n);
    this.#verdict = settled !== null && settled >= latest ? 'proven' : 'doubtful';
  }

  readonly #unknown = (error: unknown): 'unknown' => {
    this.#options.complain(error, NOT_NOTED);
    return 'unknown';
  };

  /** Tells the primary where the replica is, where that has moved. A failure is made good by the next call. */
  async note(slot: string): Promise<void> {
    const at = this.#seen.at(-1);
    if (!this.isProven || at === undefined || at === this.#notedAt || this.#logId === undefined) return;
    await this.#options.note(slot, this.#logId, at, false);
    this.#notedAt = at;
  }
}
