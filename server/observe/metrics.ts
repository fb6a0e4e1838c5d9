import { collectDefaultMetrics, Counter, Histogram, Registry } from 'prom-client';
import type { Chosen } from '../lib/observer.ts';
import type { Meter } from './observer.ts';
import type { PoolMeter } from './pool.ts';
import { addReadings, type Known } from './readings.ts';

/** Seconds, from what a replica takes to answer to what a request may take. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const KEYS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

type Count = () => void;
type Observe = (value: number) => void;

/**
 * What is counted when it happens. The label sets of one kind are few, and each is worked out once: looking one up again
 * costs a request less than prom-client's own labels.
 */
export class EventMeter implements Meter {
  readonly #registry = new Registry();
  readonly #requests = this.#counter('readback_requests_total', 'Operations that have ended', [
    'operation',
    'kind',
    'outcome',
  ]);
  readonly #durations = this.#histogram('readback_request_duration_seconds', 'Time from request to answer', SECONDS, [
    'operation',
    'kind',
  ]);
  readonly #reads = this.#counter('readback_reads_total', 'Choices of a server to read from', ['source']);
  readonly #fallbacks = this.#counter('readback_read_fallbacks_total', 'Reads that no replica in order could answer', [
    'reason',
  ]);
  readonly #bookmarkWaits = this.#histogram('readback_bookmark_wait_seconds', 'Waits for a replica', SECONDS, []);
  readonly #batches = this.#histogram('readback_loader_batch_keys', 'Keys that were read together', KEYS, ['loader']);
  readonly #poolWaits = this.#histogram('readback_pool_wait_seconds', 'Waits for a free connection', SECONDS, ['pool']);
  readonly #statements = this.#histogram('readback_statement_duration_seconds', 'Time a statement took', SECONDS, [
    'pool',
  ]);
  readonly #answered = new Map<string, [Count, Observe]>();
  readonly #chosen = new Map<string, Count>();
  readonly #batched = new Map<string, Observe>();

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
  }

  ended(operation: string, kind: string, outcome: string, seconds: number): void {
    const key = `${kind} ${operation} ${outcome}`;
    const [count, observe] = kept(this.#answered, key, () => [
      bound(this.#requests, operation, kind, outcome),
      boundObserve(this.#durations, operation, kind),
    ]);
    count();
    observe(seconds);
  }

  chose({ name, waitedMs, fallback }: Chosen): void {
    kept(this.#chosen, name, () => bound(this.#reads, name))();
    if (fallback !== undefined) this.#fallbacks.inc({ reason: fallback });
    if (waitedMs > 0) this.#bookmarkWaits.observe(waitedMs / 1000);
  }

  /** What is read of those who know is read with it. */
  scrape(known: Known) {
    addReadings(this.#registry, known);
    return { contentType: this.#registry.contentType, metrics: () => this.#registry.metrics() };
  }

  pool(name: string): PoolMeter {
    return {
      waited: boundObserve(this.#poolWaits, name),
      took: boundObserve(this.#statements, name),
      batch: (loader, keys) => kept(this.#batched, loader, () => boundObserve(this.#batches, loader))(keys),
    };
  }

  #counter(name: string, help: string, labelNames: string[]): Counter {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  #histogram(name: string, help: string, buckets: number[], labelNames: string[]): Histogram {
    return new Histogram({ name, help, buckets, labelNames, registers: [this.#registry] });
  }
}

function bound(counter: Counter, ...labels: string[]): Count {
  const child = counter.labels(...labels);
  return () => child.inc();
}

function boundObserve(histogram: Histogram, ...labels: string[]): Observe {
  const child = histogram.labels(...labels);
  return (value) => child.observe(value);
}

function kept<T>(known: Map<string, T>, key: string, make: () => T): T {
  const value = known.get(key) ?? make();
  known.set(key, value);
  return value;
}
