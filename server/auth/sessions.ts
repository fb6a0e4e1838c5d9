import { LRUCache } from 'lru-cache';
import type { Feed } from '../feed/feed.ts';
import type { Follower } from '../feed/follower.ts';
import type { FeedChange } from '../feed/recent.ts';
import type { Complain } from '../lib/complaints.ts';
import { asClientError, ClientError } from '../lib/errors.ts';
import { kept } from '../lib/kept.ts';
import { later, type Lsn } from '../lib/lsn.ts';
import { withinMs } from '../lib/within.ts';
import type { Source } from '../reads/batcher.ts';
import { standingsOf } from '../reads/standings.ts';
import type { Primary } from '../replication/primary.ts';
import { Reads } from '../reads/reads.ts';
import type { Router } from '../reads/router.ts';
import type { Accounts, Standing } from '../database/sql/accounts.ts';
import type { Renewals } from './renewals.ts';
import { refused, Renewed } from './tokens.ts';
import type { Claims, SignedIn } from './viewer.ts';

export interface SessionsOptions {
  accounts: Accounts;
  feed: Feed;
  router: Router;
  primary: Primary;
  renewals: Renewals;
  complain: Complain;
}

/** Whoever has been admitted with a token, for as long as they are connected. */
export interface Watch {
  /** Of the token that they have now. */
  readonly claims: Pick<Claims, 'version' | 'session' | 'generation'>;
  ended: (why: 'ended' | 'renewed') => void;
}

interface Known {
  standing: Promise<Standing | null>;
  /** What that came to; undefined while it is read. */
  value: Standing | null | undefined;
  atMs: number;
  /** The primary said so, or the feed, or a read that has seen all that the primary is known to have. */
  isCertain: boolean;
}

type Asked = Pick<Claims, 'id' | 'seen'>;

const MOST_KNOWN = 100_000;
/** While the feed is cut off or late, what is known of a user is believed no longer than this. */
const BELIEVED_MS = 5000;
/** So often it is looked whether that is so, for everybody who is connected. */
const SWEEP_MS = 1000;
/** A primary that has not said within this whether a token is good is taken for away. */
const ASK_MS = 3000;
/** Of users whose rows are asked for at once. */
const SWEPT_TOGETHER = 1000;

const NOT_READ = 'It could not be read whether the users of some tokens are still good: that is asked again.';

/**
 * Whether tokens are still good. A user's row is read when a token of theirs is first seen, at or past everything that
 * the primary is known to have committed; from then on the change feed tells of every change to it. What happened before
 * the read is in the row, what happens after it is in the feed: between them nothing is missed, restarts included.
 *
 * A feed that stands still tells nothing. Once it has for BELIEVED_MS, the primary is asked, for all who are connected
 * together. Where the primary cannot be asked either, a replica that has all that is known of the primary will do to
 * read, and nobody writes.
 */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #standings: Source<string, Standing | null>;
  readonly #known = new LRUCache<string, Known>({ max: MOST_KNOWN });
  readonly #watches = new Map<string, Set<Watch>>();
  readonly #stopped = Promise.withResolvers<void>();
  #follower: Follower | undefined;
  #isStopped = false;
  #ended: Promise<unknown> = Promise.resolve();
  #sweeper: NodeJS.Timeout | undefined;
  #isSweeping = false;
  #sweptAtMs = 0;
  #liveAtMs = 0;
  /** Reads see at least what the feed has told. */
  #told: Lsn = 0n;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#standings = standingsOf(options.accounts);
  }

  start(): void {
    this.#ended = this.#follow();
    this.#sweeper = setInterval(() => this.#sweepWhenDue(), SWEEP_MS).unref();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#sweeper);
    this.#stopped.resolve();
    await this.#ended;
  }

  /** @throws ClientError UNAUTHENTICATED where the user's tokens were ended, Renewed where this one has a successor. */
  async admit(claims: Claims): Promise<SignedIn> {
    let standing = await this.#standingOf(claims);
    // Newer than what is known: the token was made by another server, whose write has yet to be told here.
    if (standing && standing.tokenVersion < claims.version) standing = await this.#read(claims);
    if (!isGood(standing, claims)) throw refused('was ended');
    const verdict = this.#options.renewals.verdictOn(claims);
    if (verdict === 'ended') throw refused('was ended');
    const user = { ...claims, isAdmin: standing.isAdmin };
    if (verdict === 'renewed') throw new Renewed(user);
    return user;
  }

  /**
   * Who writes is known for certain to be good, or was a few seconds ago.
   * @throws ClientError UNAUTHENTICATED, or PRIMARY_UNAVAILABLE where nobody can say so now.
   */
  async confirm(claims: Pick<Claims, 'id' | 'seen' | 'version'>): Promise<void> {
    await this.#options.renewals.refreshIfOld();
    const known = this.#believed(claims.id);
    if (known?.isCertain && isGood(await known.standing, claims)) return;
    if (!isGood(await this.#readFromPrimary(claims.id), claims)) throw refused('was ended');
  }

  /** Tells the watch once its token is ended. */
  watch(id: string, watch: Watch): void {
    kept(this.#watches, id, () => new Set()).add(watch);
    // What the feed told between the admission and this call was told to nobody.
    void this.#known.get(id)?.standing.then(
      (standing) => look(watch, standing),
      () => undefined, // who asked for it is told
    );
  }

  unwatch(id: string, watch: Watch): void {
    const watches = this.#watches.get(id);
    if (watches?.delete(watch) && watches.size === 0) this.#watches.delete(id);
  }

  /** A write of this process has changed the user's row, up to `lsn`: nobody waits for the feed to say so. */
  changed(id: string, lsn: Lsn): void {
    this.#known.delete(id);
    if (!this.#watches.has(id)) return;
    this.#read({ id, seen: lsn }).then(
      (standing) => this.#tell(id, standing),
      (error: unknown) => this.#options.complain(error, NOT_READ), // the feed, or the sweep, will tell
    );
  }

  /** The feed is live, and everything it has told was heard: what is known is as new as the feed. */
  get #isLive(): boolean {
    return this.#options.feed.isLiveWithin(BELIEVED_MS) && this.#follower?.isCaughtUp === true;
  }

  #believed(id: string): Known | undefined {
    const known = this.#known.get(id);
    return known && (this.#isLive || performance.now() - known.atMs < BELIEVED_MS) ? known : undefined;
  }

  #standingOf(asked: Asked): Promise<Standing | null> {
    return this.#believed(asked.id)?.standing ?? this.#read(asked);
  }

  #read(asked: Asked): Promise<Standing | null> {
    if (this.#isLive) return this.#keep(asked.id, this.#readAnywhere(asked));
    if (!this.#options.primary.reachable) return this.#keep(asked.id, this.#readAnywhere(asked), false);
    const standing: Promise<Standing | null> = this.#askPrimary([asked.id]).then(
      ([found]) => found!,
      (error: unknown) => {
        this.#options.complain(error, NOT_READ);
        const known = this.#known.peek(asked.id);
        if (known?.standing === standing) known.isCertain = false;
        return this.#readAnywhere(asked);
      },
    );
    return this.#keep(asked.id, standing);
  }

  #readFromPrimary(id: string): Promise<Standing | null> {
    return this.#keep(
      id,
      this.#askPrimary([id]).then(([found]) => found!),
    );
  }

  /** All who ask within one turn share a statement, and so few run at once that they are no load. */
  async #askPrimary(ids: readonly string[]): Promise<(Standing | null)[]> {
    const { primary } = this.#options;
    const batcher = this.#standings.batcherOn(primary.reader);
    const { rows } = await primary.answer(withinMs(batcher.load(ids), ASK_MS));
    return rows;
  }

  async #readAnywhere({ id, seen }: Asked): Promise<Standing | null> {
    const { primary } = this.#options;
    const position = later(later(seen, this.#told), primary.clock.latest ?? 0n);
    const reads = new Reads(this.#options, 'session', position, undefined);
    try {
      const { rows } = await reads.read((place) => this.#standings.batcherOn(place.sql).load([id]));
      return rows[0] ?? null;
    } catch (error) {
      throw primary.reachable ? error : nobodyKnows(error);
    } finally {
      reads.release();
    }
  }

  /** What the feed tells while a read is under way makes the next one read again. A failure is not kept. */
  #keep(id: string, standing: Promise<Standing | null>, isCertain = true): Promise<Standing | null> {
    const known: Known = { standing, value: undefined, atMs: performance.now(), isCertain };
    this.#known.set(id, known);
    standing.then(
      (value) => (known.value = value),
      () => this.#known.peek(id) === known && this.#known.delete(id),
    );
    return standing;
  }

  async #follow(): Promise<void> {
    const { feed } = this.#options;
    await Promise.race([feed.opened(), this.#stopped.promise]);
    const follower = feed.follow();
    this.#follower = follower;
    while (!this.#isStopped) {
      const change = follower.take();
      if (change) this.#hear(change);
      else await Promise.race([this.#wait(follower), this.#stopped.promise]);
    }
  }

  /** Where the place is not kept any more, changes went by unheard: everybody who is connected is looked at again. */
  async #wait(follower: Follower): Promise<void> {
    try {
      await follower.wait();
    } catch {
      // CURSOR_EXPIRED, which says just that.
      follower.restart();
      this.#known.clear();
      void this.#sweep();
    }
  }

  #hear({ tableName, key, after, operation, seen }: FeedChange): void {
    this.#told = later(this.#told, seen);
    const { accounts } = this.#options;
    if (tableName !== accounts.table) return;
    const standing = after && accounts.standingIn(key, after);
    const known = this.#known.peek(key);
    if (known && isNews(known.value, standing, operation)) void this.#keep(key, Promise.resolve(standing));
    else if (known?.value === undefined) this.#known.delete(key);
    this.#tell(key, standing);
  }

  #tell(id: string, standing: Standing | null): void {
    for (const watch of Array.from(this.#watches.get(id) ?? [])) look(watch, standing);
  }

  /** Tokens of the user were renewed a while ago, or their session was ended. */
  lookAt(id: string): void {
    for (const watch of Array.from(this.#watches.get(id) ?? [])) {
      const verdict = this.#options.renewals.verdictOn(watch.claims);
      if (verdict !== 'good') watch.ended(verdict);
    }
  }

  #sweepWhenDue(): void {
    const now = performance.now();
    if (this.#isLive) this.#liveAtMs = now;
    if (now - Math.max(this.#liveAtMs, this.#sweptAtMs) < BELIEVED_MS || this.#isSweeping) return;
    void this.#sweep();
  }

  /** Everybody who is connected is looked at, by the primary. Where it is away, nothing can be ended there either. */
  async #sweep(): Promise<void> {
    this.#isSweeping = true;
    this.#sweptAtMs = performance.now();
    const ids = [...this.#watches.keys()];
    try {
      for (let from = 0; from < ids.length; from += SWEPT_TOGETHER) {
        const some = ids.slice(from, from + SWEPT_TOGETHER);
        const standings = await this.#askPrimary(some);
        for (const [index, id] of some.entries()) {
          void this.#keep(id, Promise.resolve(standings[index]!));
          this.#tell(id, standings[index]!);
        }
      }
    } catch (error) {
      // The next one is due in a few seconds, and each operation asks for itself.
      this.#options.complain(error, NOT_READ);
    } finally {
      this.#isSweeping = false;
    }
  }
}

/** A write that is refused so has not begun; REPLICA_UNAVAILABLE would say that it is a read which failed. */
const nobodyKnows = (cause: unknown) =>
  asClientError(cause)?.code === 'REPLICA_UNAVAILABLE'
    ? new ClientError(
        'PRIMARY_UNAVAILABLE',
        'Neither the primary nor a replica can say whether the token is good, so nothing was done: try again soon.',
        { cause },
      )
    : cause;

/** A token that is newer than what is told was made from a newer row: its end will be told, too. */
function look(watch: Watch, standing: Standing | null): void {
  if (standing !== null && standing.tokenVersion < watch.claims.version) return;
  if (!isGood(standing, watch.claims)) watch.ended('ended');
}

/**
 * A feed that is late tells of rows as they were before they were read. The number of a row only ever grows, and what
 * ends tokens makes it grow; a row that was deleted comes back by an INSERT alone.
 */
function isNews(known: Standing | null | undefined, told: Standing | null, operation: string): boolean {
  if (known === undefined) return false;
  if (known === null) return told === null || operation === 'INSERT';
  return told === null || told.tokenVersion >= known.tokenVersion;
}

function isGood(standing: Standing | null, { version }: Pick<Claims, 'version'>): standing is Standing {
  return standing !== null && standing.isActive && standing.tokenVersion === version;
}
