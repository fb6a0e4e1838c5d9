import type { Declaration } from '../declare/declaration.ts';
import type { Complain } from '../lib/complaints.ts';
import { ClientError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import { driftInWords, type Drift } from '../setup/drift.ts';
import { changeInWords, type PartitionChange } from '../setup/partitions.ts';
import type { Replica } from './replica.ts';

/** It costs a few statements over the catalog. */
const EVERY_MS = 30_000;

interface TableWatchOptions {
  /** What was changed on the primary by other ways than migrations. */
  drifts: () => Promise<Drift[]>;
  /** What was done there to partitions alone. */
  partitionChanges: () => Promise<PartitionChange[]>;
  replicas: readonly Pick<Replica, 'changesCopied'>[];
  /** Called at each look while a replica holds other rows of the table: who follows its changes lacks some. */
  hasOthers: (table: string, refusal: ClientError) => void;
  log: Pick<Logger, 'warn' | 'info'>;
  complain: Complain;
}

const NOT_LOOKED = 'The tables of the primary cannot be compared with what they were when they were migrated.';

const refusalOf = (table: string) =>
  new ClientError(
    'REPLICA_UNAVAILABLE',
    `The replicas hold other rows of ${table} than the primary, so its changes cannot be followed until these are copied again: /health says so to whoever runs the server.`,
  );

/** What the application has changed about the tables of the primary, found within a minute and told once. */
export class TableWatch {
  readonly #options: TableWatchOptions;
  #drifts: readonly Drift[] = [];
  /** Those of which a replica holds other rows than the primary. */
  #others: ReadonlySet<string> = new Set();
  /** Of each replica, the last change that its copy has in it. */
  #copied: readonly number[] = [];
  #lookedAtMs = -Infinity;

  constructor(options: TableWatchOptions) {
    this.#options = options;
  }

  /** As last seen. */
  get drifts(): readonly Drift[] {
    return this.#drifts;
  }

  holdsOthers(table: string): boolean {
    return this.#others.has(table);
  }

  /** @throws ClientError REPLICA_UNAVAILABLE where a replica lacks what was done to one of them: its log has no change of that. */
  assertSame(tables: readonly Declaration[]): void {
    const other = tables.find(({ name }) => this.#others.has(name));
    if (other) throw refusalOf(other.name);
  }

  /** To be called in each round of the monitor. With the primary away what was seen stays. */
  round(): void {
    if (performance.now() - this.#lookedAtMs < EVERY_MS) return;
    this.#lookedAtMs = performance.now();
    void this.#look();
  }

  async #look(): Promise<void> {
    const drifts = await this.#answered(this.#options.drifts());
    const parts = await this.#answered(this.#partitions());
    if (!drifts || !parts) return;
    this.#others = new Set(parts.map(({ table }) => table));
    for (const table of this.#others) this.#options.hasOthers(table, refusalOf(table));
    this.#saw([...drifts, ...parts]);
  }

  #answered<T>(asked: Promise<T>): Promise<T | undefined> {
    return asked.catch((error: unknown) => {
      this.#options.complain(error, NOT_LOOKED);
      return undefined;
    });
  }

  /** Of what was done to partitions alone, what some replica's copy does not have. */
  async #partitions(): Promise<Drift[]> {
    const { partitionChanges, replicas } = this.#options;
    const changes = await partitionChanges();
    if (changes.length === 0) return [];
    const copied = await Promise.all(replicas.map((replica) => replica.changesCopied()));
    // One that does not answer is as it was; of one that never did, nothing is taken for copied.
    this.#copied = copied.map((last, index) => last ?? this.#copied[index] ?? 0);
    const least = Math.min(...this.#copied);
    return changes
      .filter(({ id }) => id > least)
      .map((change) => ({
        table: change.table,
        column: null,
        found: changeInWords(change),
        command: 'readback doctor --fix, which copies the replicas again',
      }));
  }

  #saw(drifts: readonly Drift[]): void {
    const { log } = this.#options;
    const told = new Set(this.#drifts.map(driftInWords));
    for (const drift of drifts)
      if (!told.has(driftInWords(drift))) log.warn({ table: drift.table, column: drift.column }, driftInWords(drift));
    if (drifts.length === 0 && told.size > 0) log.info({}, 'The tables of the primary are as they were migrated.');
    this.#drifts = drifts;
  }
}
