import type { Batched, PoolObserver, Turn } from '../lib/observer.ts';
import type { Tracing } from './tracing.ts';

/** What is counted of one pool. */
export interface PoolMeter {
  waited: (seconds: number) => void;
  took: (seconds: number) => void;
  batch: (loader: string, keys: number) => void;
}

/** One pool of connections: how many are in use, who waits for one, and for how long. */
export class PoolWatch implements PoolObserver {
  readonly name: string;
  readonly connections: number;
  /** Connections that a statement or a reservation has now. */
  inUse = 0;
  /** Statements and reservations without one. */
  waiting = 0;
  readonly #meter: PoolMeter | undefined;
  readonly #tracing: Tracing | undefined;

  constructor(name: string, connections: number, meter: PoolMeter | undefined, tracing: Tracing | undefined) {
    this.name = name;
    this.connections = connections;
    this.#meter = meter;
    this.#tracing = tracing;
  }

  batch<T>(batched: Batched, run: () => Promise<T>): Promise<T> {
    this.#meter?.batch(batched.loader, batched.keys);
    return this.#tracing ? this.#tracing.batch(batched, run) : run();
  }

  statement(text: string, isReserved: boolean): Turn {
    const { took, waited } = this.#meter ?? {};
    const traced = this.#tracing?.statement(this.name, text);
    return new PoolTurn(isReserved ? undefined : this, { took, waited, traced });
  }

  connection(): Turn {
    return new PoolTurn(this, { waited: this.#meter?.waited });
  }
}

interface Told {
  waited?: ((seconds: number) => void) | undefined;
  took?: ((seconds: number) => void) | undefined;
  traced?: Turn | undefined;
}

class PoolTurn implements Turn {
  /** Undefined: on a connection that is held already. */
  readonly #pool: PoolWatch | undefined;
  readonly #told: Told;
  readonly #askedAt = performance.now();
  #beganAt: number | undefined;
  #isOver = false;

  constructor(pool: PoolWatch | undefined, told: Told) {
    this.#pool = pool;
    this.#told = told;
    if (pool) pool.waiting++;
  }

  /** A statement that the driver sends again begins again: the first time counts. */
  began(): void {
    if (this.#isOver || this.#beganAt !== undefined) return;
    this.#beganAt = performance.now();
    this.#told.traced?.began();
    if (!this.#pool) return;
    this.#pool.waiting--;
    this.#pool.inUse++;
    this.#told.waited?.((this.#beganAt - this.#askedAt) / 1000);
  }

  ended(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#pool && this.#beganAt === undefined) this.#pool.waiting--;
    else if (this.#pool) this.#pool.inUse--;
    if (this.#beganAt !== undefined) this.#told.took?.((performance.now() - this.#beganAt) / 1000);
    this.#told.traced?.ended();
  }
}
