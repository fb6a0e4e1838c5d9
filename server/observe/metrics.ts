import { collectDefaultMetrics, Counter, Histogram, Registry } from 'prom-client';
import { kept } from '../lib/kept.ts';
import type { Chosen } from '../lib/observer.ts';
import type { Meter } from './observer.ts';
import type { PoolMeter } from './pool.ts';
import { addReadings, type Known } from './readings.ts';

/** Seconds, from what a replica takes to answer to what a request may take. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const KEYS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/** One set of labels, and how often it was met. */
interface Tally {
  labels: Record<string, string>;
  count: number;
}

type Observe = (value: number) => void;

/**
 * What is counted when it happens. Sets of labels are few: each is made once, and a request adds to plain numbers, which
 * cost it a tenth of what the library's own counters do; they are handed over when the metrics are read.
 */
export class EventMeter implements Meter {
  readonly #registry = new Registry();
  readonly #requests = this.#tallies('readback_requests_total', 'Operations that have ended', [
    'operation',
    'kind',
    'outcome',
  ]);
  readonly #reads = this.#tallies('readback_reads_total', 'Choices of a server to read from', ['source']);
  readonly #fallbacks = this.#tallies('readback_read_fallbacks_total', 'Reads that no replica in order could answer', [
    'reason',
  ]);
  readonly #durations = this.#histogram('readback_request_duration_seconds', 'Time from request to answer', SECONDS, [
    'operation',
    'kind',
  ]);
  readonly #bookmarkWaits = this.#histogram('readback_bookmark_wait_seconds', 'Waits for a replica', SECONDS, []);
  readonly #batches = this.#histogram('readback_loader_batch_keys', 'Keys that were read together', KEYS, ['loader']);
  readonly #poolWaits = this.#histogram('readback_pool_wait_seconds', 'Waits for a free connection', SECONDS, ['pool']);
  readonly #statements = this.#histogram('readback_statement_duration_seconds', 'Time a statement took', SECONDS, [
    'pool',
  ]);
  readonly #observeDuration = new Map<string, Observe>();
  readonly #observeBatch = new Map<string, Observe>();

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
  }

  ended(operation: string, kind: string, outcome: string, seconds: number): void {
    const name = `${kind} ${operation}`;
    kept(this.#requests, `${name} ${outcome}`, () => tally({ operation, kind, outcome })).count++;
    kept(this.#observeDuration, name, () => bound(this.#durations, operation, kind))(seconds);
  }

  forget(operation: string): void {
    for (const [key, { labels }] of this.#requests) {
      if (labels['operation'] !== operation) continue;
      const { kind = '' } = labels;
      this.#requests.delete(key);
      if (this.#observeDuration.delete(`${kind} ${operation}`)) this.#durations.remove(operation, kind);
    }
  }

  chose({ name, waitedMs, fallback }: Chosen): void {
    kept(this.#reads, name, () => tally({ source: name })).count++;
    if (fallback !== undefined) kept(this.#fallbacks, fallback, () => tally({ reason: fallback })).count++;
    if (waitedMs > 0) this.#bookmarkWaits.observe(waitedMs / 1000);
  }

  pool(name: string): PoolMeter {
    return {
      waited: bound(this.#poolWaits, name),
      took: bound(this.#statements, name),
      batch: (loader, keys) => kept(this.#observeBatch, loader, () => bound(this.#batches, loader))(keys),
    };
  }

  /** With what those know who need not be told. */
  scrape(known: Known) {
    addReadings(this.#registry, known);
    return { contentType: this.#registry.contentType, metrics: () => this.#registry.metrics() };
  }

  #tallies(name: string, help: string, labelNames: string[]): Map<string, Tally> {
    const tallies = new Map<string, Tally>();
    const registers = [this.#registry];
    const collect = function (this: Counter): void {
      this.reset();
      for (const { labels, count } of tallies.values()) this.inc(labels, count);
    };
    new Counter({ name, help, labelNames, registers, collect });
    return tallies;
  }

  #histogram(name: string, help: string, buckets: number[], labelNames: string[]): Histogram {
    return new Histogram({ name, help, buckets, labelNames, registers: [this.#registry] });
  }
}

const tally = (labels: Record<string, string>): Tally => ({ labels, count: 0 });

function bound(histogram: Histogram, ...labels: string[]): Observe {
  const child = histogram.labels(...labels);
  return (value) => child.observe(value);
}
