import type { Begun, Observer, OperationObserver, PoolObserver } from '../lib/observer.ts';
import { Names } from './names.ts';
import { OperationWatch, type OperationLine, type OperationMeter, type OperationSinks } from './operation.ts';
import { PoolWatch, type PoolMeter } from './pool.ts';
import type { Tracing } from './tracing.ts';

/** Counts what happens. */
export interface Meter extends OperationMeter {
  pool: (name: string) => PoolMeter;
  /** Nothing more is told of operations of that name for now. */
  forget: (operation: string) => void;
}

export interface Sinks {
  /** Each is left out where nobody asks for it: then it costs nothing. */
  meter?: Meter | undefined;
  log?: ((line: OperationLine) => void) | undefined;
  tracing?: Tracing | undefined;
}

/** A wait for a replica looks at it again and again: in a trace, looks would drown everything else. */
const OF_REQUESTS = /^(reads|writes)/;

/** Hands on what happens to whoever was asked for: metrics, log, traces. */
export class Observation implements Observer {
  readonly together: Observer['together'];
  readonly #meter: Meter | undefined;
  readonly #tracing: Tracing | undefined;
  readonly #sinks: OperationSinks;
  readonly #pools = new Map<string, PoolWatch>();

  constructor({ meter, log, tracing }: Sinks) {
    const names = new Names((name) => meter?.forget(name));
    this.#meter = meter;
    this.#tracing = tracing;
    this.#sinks = { label: (name) => names.label(name), meter, log };
    this.together = tracing && ((work) => tracing.together(work));
  }

  get pools(): Iterable<PoolWatch> {
    return this.#pools.values();
  }

  operation(begun: Begun): OperationObserver {
    return new OperationWatch(this.#sinks, begun, this.#tracing?.operation(begun));
  }

  pool(name: string, connections: number): PoolObserver {
    const known = this.#pools.get(name);
    if (known) return known;
    const tracing = OF_REQUESTS.test(name) ? this.#tracing : undefined;
    const watch = new PoolWatch(name, connections, this.#meter?.pool(name), tracing);
    this.#pools.set(name, watch);
    return watch;
  }
}
