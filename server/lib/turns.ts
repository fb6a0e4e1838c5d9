import type { ClientError } from './errors.ts';
import { kept } from './kept.ts';

export interface TurnsOptions {
  /** At once, of all together. */
  most: number;
  /** At once, of one spender. */
  mostOfOne: number;
  /** That wait, of all together. */
  mostWaiting: number;
  /** What the one too many is told. */
  refused: () => ClientError;
}

interface Waiter {
  begin: () => void;
  reject: (error: unknown) => void;
}

/** Somebody who has work under way, or waits to. */
interface Party {
  spender: string;
  running: number;
  waiting: Waiter[];
}

const newParty = (spender: string): Party => ({ spender, running: 0, waiting: [] });

/**
 * Lets a bounded number work at once. Where more want to, those who spend take turns, one piece of work each: whoever has
 * much waiting makes others wait for as many pieces as there are spenders, and not for all of it. Where the line is
 * full, its place is taken from whoever has most in it. While nobody waits, nothing is awaited.
 */
export class Turns {
  readonly #options: TurnsOptions;
  readonly #parties = new Map<string, Party>();
  /** Those of them that wait, whose turn is next first. */
  readonly #line = new Set<Party>();
  #running = 0;
  #waiting = 0;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** @throws the signal's reason where it aborts before the work has begun, ClientError where too many wait. */
  async run<T>(spender: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    await this.enter(spender, signal);
    try {
      return await work();
    } finally {
      this.leave(spender);
    }
  }

  /** Undefined: at once. Whoever has entered must leave. */
  enter(spender: string, signal?: AbortSignal): Promise<void> | undefined {
    signal?.throwIfAborted();
    const { most, mostOfOne } = this.#options;
    const party = kept(this.#parties, spender, newParty);
    if (this.#running >= most || party.running >= mostOfOne) return this.#wait(party, signal);
    this.#begin(party);
    return undefined;
  }

  leave(spender: string): void {
    const party = this.#parties.get(spender)!;
    party.running--;
    this.#running--;
    this.#forget(party);
    this.#next();
  }

  #begin(party: Party): void {
    party.running++;
    this.#running++;
  }

  #forget(party: Party): void {
    if (party.waiting.length === 0) this.#line.delete(party);
    if (party.waiting.length === 0 && party.running === 0) this.#parties.delete(party.spender);
  }

  #next(): void {
    for (const party of this.#line) {
      if (this.#running >= this.#options.most) return;
      if (party.running >= this.#options.mostOfOne) continue;
      // Last in the line, where it has more.
      this.#line.delete(party);
      this.#line.add(party);
      const waiter = this.#take(party, 0);
      this.#begin(party);
      waiter.begin();
    }
  }

  #take(party: Party, index: number): Waiter {
    const [waiter] = party.waiting.splice(index, 1);
    this.#waiting--;
    if (party.waiting.length === 0) this.#line.delete(party);
    return waiter!;
  }

  async #wait(party: Party, signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting >= this.#options.mostWaiting) this.#makeRoom(party);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { begin: resolve, reject };
    party.waiting.push(waiter);
    this.#line.add(party);
    this.#waiting++;
    const gone = () => this.#remove(party, waiter, signal!.reason);
    signal?.addEventListener('abort', gone);
    try {
      await promise;
    } finally {
      signal?.removeEventListener('abort', gone);
    }
  }

  #remove(party: Party, waiter: Waiter, reason: unknown): void {
    const index = party.waiting.indexOf(waiter);
    if (index < 0) return;
    this.#take(party, index);
    this.#forget(party);
    waiter.reject(reason);
  }

  /** Of whoever has most in the line, the latest goes: of the one that comes, where nobody has more. */
  #makeRoom(party: Party): void {
    const [longest] = [...this.#line].toSorted((a, b) => b.waiting.length - a.waiting.length);
    const refused = this.#options.refused();
    if (longest && longest.waiting.length > party.waiting.length + 1)
      return this.#remove(longest, longest.waiting.at(-1)!, refused);
    this.#forget(party);
    throw refused;
  }
}
