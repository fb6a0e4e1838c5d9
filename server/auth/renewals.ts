import type { Complain } from '../lib/complaints.ts';
import { shared } from '../lib/shared.ts';
import { withinMs } from '../lib/within.ts';
import type { Primary } from '../replication/primary.ts';
import type { Accounts } from '../database/sql/accounts.ts';
import { endedTokens, forgetRenewals, type EndedToken, type Successor } from '../database/sql/renewals.ts';
import { refused } from './tokens.ts';
import type { Claims } from './viewer.ts';

/** Whether a token may be used, as far as renewals go: it has a successor for longer than it may have, or its session is over. */
export type Verdict = 'good' | 'renewed' | 'ended';

interface Ended {
  userId: string;
  /** Until then it is good all the same. */
  graceUntilMs: number;
  /** After that nobody can have such a token any more. */
  keptUntilMs: number;
  isTold: boolean;
}

/** So often the primary is asked which tokens were renewed. An answer is needed well before their 10 s are over. */
const POLL_MS = 2000;
const POLL_TIMEOUT_MS = 3000;
/** A transaction is seen some time after the moment that it notes: as much is read again. */
const OVERLAP_MS = 30_000;
/** Who writes is known to have no successor as of then. */
const CONFIRMED_MS = 10_000;
const FORGET_MS = 600_000;

const NOT_KNOWN = 'The primary does not tell which tokens were renewed or ended: those ended meanwhile may read on.';

/**
 * Which tokens were renewed, as the primary knows it: each has one successor, and is good for 10 s beside it. Renewed once
 * more after that, somebody else has it too: its session ends. All servers hear of it by asking, once for all tokens; while
 * the primary is away nobody can renew one.
 */
export class Renewals {
  readonly #primary: Primary;
  readonly #accounts: Accounts;
  /** By session, and by session and generation. */
  readonly #ended = new Map<string, Ended>();
  readonly #tell: (userId: string) => void;
  readonly #complain: Complain;
  #timer: NodeJS.Timeout | undefined;
  #polledAtMs = -Infinity;
  #forgottenAtMs = performance.now();

  /** `tell` is told of users some of whose tokens are over. */
  constructor(primary: Primary, accounts: Accounts, tell: (userId: string) => void, complain: Complain) {
    this.#primary = primary;
    this.#accounts = accounts;
    this.#tell = tell;
    this.#complain = complain;
  }

  /** Resolves when the primary has answered once, or has not in time. */
  async start(): Promise<void> {
    await this.#poll().catch(this.#unknown);
    this.#timer = setInterval(() => void this.#round(), POLL_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  verdictOn({ session, generation }: Pick<Claims, 'session' | 'generation'>): Verdict {
    if (this.#ended.has(session)) return 'ended';
    const own = this.#ended.get(keyOf(session, generation));
    return own === undefined || performance.now() < own.graceUntilMs ? 'good' : 'renewed';
  }

  /** @throws ClientError PRIMARY_UNAVAILABLE where it is not known which tokens were renewed lately. */
  async refreshIfOld(): Promise<void> {
    if (performance.now() - this.#polledAtMs > CONFIRMED_MS) await this.#primary.answer(this.#poll());
  }

  /**
   * What the token's successor says: the same for all who ask within 10 s.
   * @throws ClientError UNAUTHENTICATED where it was renewed before that, which ends its session, or is over by itself.
   */
  async renew(claims: Omit<Claims, 'seen'>, successor: Successor): Promise<Successor> {
    const { rows } = await this.#primary.write(
      (sql) => this.#accounts.renewToken(sql, claims, successor),
      () => false,
    );
    const [{ outcome, ...made }] = rows as [(typeof rows)[number]];
    if (outcome === 'renewed') return made as Successor;
    await this.#round();
    if (outcome === 'ended') throw refused('was ended');
    throw refused('was renewed before, so somebody else may have it, and its session is ended');
  }

  async #round(): Promise<void> {
    const now = performance.now();
    try {
      await this.#poll();
      if (now - this.#forgottenAtMs > FORGET_MS) {
        this.#forgottenAtMs = now;
        await forgetRenewals(this.#primary.writer);
      }
    } catch (error) {
      this.#unknown(error);
    }
  }

  /** It is asked again in two seconds, and by whoever writes. */
  readonly #unknown = (error: unknown): void => this.#complain(error, NOT_KNOWN);

  readonly #poll = shared(async (): Promise<void> => {
    const atMs = performance.now();
    const rows = await withinMs(
      endedTokens(this.#primary.watch, atMs - this.#polledAtMs + OVERLAP_MS),
      POLL_TIMEOUT_MS,
    );
    for (const row of rows) this.#note(row);
    this.#polledAtMs = atMs;
    this.#tellDue();
  });

  #note({ session, generation, userId, graceMs, keptMs }: EndedToken): void {
    const key = generation === null ? session : keyOf(session, generation);
    const now = performance.now();
    this.#ended.set(key, {
      userId,
      graceUntilMs: now + graceMs,
      keptUntilMs: now + keptMs,
      isTold: this.#ended.get(key)?.isTold === true,
    });
  }

  #tellDue(): void {
    const now = performance.now();
    for (const [key, ended] of this.#ended) {
      if (ended.keptUntilMs < now) this.#ended.delete(key);
      if (ended.isTold || ended.graceUntilMs > now) continue;
      ended.isTold = true;
      this.#tell(ended.userId);
    }
  }
}

const keyOf = (session: string, generation: number) => `${session} ${generation}`;
