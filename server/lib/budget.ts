import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { ClientError } from './errors.ts';
import { Hold } from './hold.ts';
import { Turns } from './turns.ts';

export interface BudgetOptions {
  /** Of one spender; Infinity: no limit. */
  requestsPerSecond: number;
  /** Rows that operations of one spender may read, as they are measured before they run; Infinity: no limit. */
  costPerSecond: number;
}

/** Those for whom an event is executed: one of them pays, the first who has something left. */
export interface Payers {
  now: () => Iterable<string>;
  /** Resolves when there are others, too. */
  more: () => Promise<void>;
}

/** What has a turn of its own costs more than this: what comes to less takes no time worth speaking of. */
const [LIGHT_OPERATION, LIGHT_EVENT] = [1000, 100];
/** An event that reads no more costs nothing: there may be as many as there are changes. */
const FREE_EVENT = 20;
/** Of one spender, at once. */
const [HEAVY_OPERATIONS, HEAVY_EVENTS] = [2, 1];
const MOST_WAITING = 10_000;
/**
 * Bytes of one spender that are read, a second: 100 take about as long as a row, before anybody knows what they ask for. A
 * message takes as long as a hundred of them, however small it is; bodies up to some size are bounded by being requests.
 */
const [BYTES_PER_SECOND, BYTES_OF_A_MESSAGE, SMALL_BODY] = [2_000_000, 100, 10_000];
/** Of bytes that were read all the same, no more is to be paid back. */
const MOST_OWED_S = 6;
/** Who has spent nothing for so long may spend it all at once. */
const SAVED_S = 3;
/** Spenders that are counted at once; those that were met least lately are forgotten. */
const MOST_COUNTED = 50_000;

interface Account {
  /** What is left; less than nothing where the latest was dearer than that. */
  level: number;
  filledAtMs: number;
  /** Requests in the second that ends then. */
  requests: number;
  untilMs: number;
}

/**
 * What each spender, a user or a network, may have of this server. Operations pay before they run, by what they may
 * read: who is in debt waits. What is dear has turns, of which each spender has as many as any other. Events are paid
 * for apart from requests, and late rather than refused: others decide how many there are.
 *
 * Where there are no limits, nothing is counted, and nobody waits.
 */
export class Budget {
  readonly #options: BudgetOptions;
  readonly #accounts = new LRUCache<string, Account>({ max: MOST_COUNTED });
  readonly #operations: Turns;
  readonly #events: Turns;
  readonly #hold = new Hold();

  constructor(options: BudgetOptions) {
    this.#options = options;
    const turns = (mostOfOne: number) =>
      new Turns({ most: Infinity, mostOfOne, mostWaiting: MOST_WAITING, refused: tooManyWait });
    this.#operations = turns(HEAVY_OPERATIONS);
    this.#events = turns(HEAVY_EVENTS);
  }

  /** Whether work takes turns. */
  get isLimited(): boolean {
    return this.#options.costPerSecond < Infinity;
  }

  /** Counts a request. Undefined: it may go on. Else it fails, after a while, with ClientError RATE_LIMITED. */
  count(spender: string): Promise<never> | undefined {
    const { requestsPerSecond: most } = this.#options;
    if (most === Infinity) return undefined;
    const account = this.#accountOf(spender);
    const now = performance.now();
    if (now >= account.untilMs) Object.assign(account, { requests: 0, untilMs: now + 1000 });
    return ++account.requests > most ? this.#refuse(tooManyRequests(account.requests, most)) : undefined;
  }

  /** `cost` is measured; undefined: it is not known yet, and `debit` will tell. @throws ClientError RATE_LIMITED where what was spent before is not paid back. */
  spend(spender: string, cost: number | undefined): void {
    if (this.#options.costPerSecond === Infinity) return;
    const account = this.#accountOf(spender);
    if (account.level <= 0) throw this.#overspent(account.level, cost);
    account.level -= cost ?? 0;
  }

  /** Work that was done before its cost was known. */
  debit(spender: string, cost: number): void {
    if (this.#options.costPerSecond < Infinity) this.#accountOf(spender).level -= cost;
  }

  /** A message was sent. How long its sender is not to be heard, in milliseconds. */
  heard(spender: string, bytes: number): number {
    if (!this.isLimited) return 0;
    const account = this.#bytesOf(spender);
    account.level = Math.max(account.level - bytes - BYTES_OF_A_MESSAGE, -MOST_OWED_S * BYTES_PER_SECOND);
    return Math.max(0, Math.ceil((-account.level / BYTES_PER_SECOND) * 1000));
  }

  /** Whether a body is paid for by its size. */
  isLarge(bytes: number): boolean {
    return this.isLimited && bytes > SMALL_BODY;
  }

  /** A large body was sent. Undefined: it may be read. Else it fails, after a while, with ClientError RATE_LIMITED. */
  body(spender: string, bytes: number): Promise<never> | undefined {
    const account = this.#bytesOf(spender);
    if (account.level <= 0) return this.#refuse(tooManyBytes(account.level));
    account.level -= bytes;
    return undefined;
  }

  #bytesOf(spender: string): Account {
    return this.#accountOf(`bytes of ${spender}`, BYTES_PER_SECOND);
  }

  /** Undefined: no turn is needed, and none is to be ended. Else how to end it. @throws the signal's reason. */
  turn(spender: string, cost: number, signal: AbortSignal): Promise<() => void> | undefined {
    if (cost <= LIGHT_OPERATION || this.#options.costPerSecond === Infinity) return undefined;
    return this.#enter(spender, signal);
  }

  /** Executes an operation on an event, when one of those who want it has something left. */
  event<T>(payers: Payers, cost: number, work: (payer: string) => Promise<T>): Promise<T> {
    if (cost <= FREE_EVENT || this.#options.costPerSecond === Infinity) {
      const [payer = ''] = payers.now();
      return work(payer);
    }
    const { payer } = this.#pay(payers.now(), cost);
    return payer === undefined || cost > LIGHT_EVENT ? this.#inTurn(payers, payer, cost, work) : work(payer);
  }

  /** Who is refused at once asks again at once: twenty connections that do so take a processor. */
  async #refuse(error: ClientError): Promise<never> {
    await this.#hold.wait();
    throw error;
  }

  async #enter(spender: string, signal: AbortSignal): Promise<() => void> {
    await this.#operations.enter(spender, signal);
    return () => this.#operations.leave(spender);
  }

  async #inTurn<T>(
    payers: Payers,
    paid: string | undefined,
    cost: number,
    work: (payer: string) => Promise<T>,
  ): Promise<T> {
    let payer = paid;
    // Those who want it, and what they have left, may change meanwhile.
    while (payer === undefined) {
      const more = payers.more();
      const asked = this.#pay(payers.now(), cost);
      if (asked.payer === undefined) await Promise.race([sleep(asked.waitMs, undefined, { ref: false }), more]);
      payer = asked.payer;
    }
    return cost > LIGHT_EVENT ? this.#events.run(payer, undefined, () => work(payer)) : work(payer);
  }

  /** Who has paid; undefined: nobody can, for that long. */
  #pay(payers: Iterable<string>, cost: number): { payer: string | undefined; waitMs: number } {
    const { costPerSecond } = this.#options;
    let most = -Infinity;
    for (const payer of payers) {
      const account = this.#accountOf(`events of ${payer}`);
      if (account.level > 0) {
        account.level -= cost;
        return { payer, waitMs: 0 };
      }
      most = Math.max(most, account.level);
    }
    // Nobody wants it any more: it is over soon.
    if (most === -Infinity) return { payer: '', waitMs: 0 };
    return { payer: undefined, waitMs: Math.ceil((-most / costPerSecond) * 1000) + 1 };
  }

  #accountOf(spender: string, perSecond = this.#options.costPerSecond): Account {
    const now = performance.now();
    const most = SAVED_S * perSecond;
    const known = this.#accounts.get(spender);
    if (!known) {
      const made = { level: most, filledAtMs: now, requests: 0, untilMs: 0 };
      this.#accounts.set(spender, made);
      return made;
    }
    if (perSecond < Infinity) known.level = Math.min(most, known.level + ((now - known.filledAtMs) / 1000) * perSecond);
    known.filledAtMs = now;
    return known;
  }

  #overspent(level: number, cost: number | undefined): ClientError {
    const { costPerSecond } = this.#options;
    const seconds = Math.max(1, Math.ceil(-level / costPerSecond));
    return new ClientError(
      'RATE_LIMITED',
      `Your operations may read ${costPerSecond} rows a second, and have asked for more than that by now` +
        `${cost === undefined ? '' : `; this one may read ${cost}`}: try again in ${seconds} s, or ask for less at a time.`,
      { retryAfterS: seconds },
    );
  }
}

const tooManyRequests = (count: number, most: number) =>
  new ClientError(
    'RATE_LIMITED',
    `You may send ${most} requests a second, and this is number ${count}: try again in 1 s.`,
    { retryAfterS: 1 },
  );

function tooManyBytes(level: number): ClientError {
  const seconds = Math.max(1, Math.ceil(-level / BYTES_PER_SECOND));
  return new ClientError(
    'RATE_LIMITED',
    `You may send bodies of over ${SMALL_BODY} bytes with ${BYTES_PER_SECOND} bytes a second, and have sent more than that by now: try again in ${seconds} s.`,
    { retryAfterS: seconds },
  );
}

const tooManyWait = () =>
  new ClientError(
    'RATE_LIMITED',
    `Of large operations ${MOST_WAITING} wait for their turn, which is the most, and most of them are yours: try again in 5 s.`,
    { retryAfterS: 5 },
  );
