import { LRUCache } from 'lru-cache';
import type { Feed } from '../feed/feed.ts';
import type { Follower } from '../feed/follower.ts';
import type { FeedChange } from '../feed/recent.ts';
import { later, type Lsn } from '../lib/lsn.ts';
import { standingById } from '../loaders/standings.ts';
import type { Primary } from '../replication/primary.ts';
import { Reads } from '../replication/reads.ts';
import type { Router } from '../replication/router.ts';
import type { Standing } from '../store/access.ts';
import { refused, type Claims } from './tokens.ts';
import type { SignedIn } from './viewer.ts';

export interface SessionsOptions {
  feed: Feed;
  router: Router;
  primary: Primary;
}

/** Whoever has been admitted with tokens of a version, for as long as they are connected. */
export interface Watch {
  readonly version: number;
  ended: () => void;
}

interface Known {
  standing: Promise<Standing | null>;
  atMs: number;
}

const MOST_KNOWN = 100_000;
/** While the feed is cut off, what is known of a user is believed no longer than this. */
const BELIEVED_MS = 5000;

/**
 * Whether tokens are still good. A user's row is read when a token of theirs is first seen, at or behind everything
 * that the primary is known to have committed; from then on the change feed tells of every change to it. What happened
 * before the read is in the row, what happens after it is in the feed: between them nothing is missed, restarts included.
 */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #known = new LRUCache<string, Known>({ max: MOST_KNOWN });
  readonly #watches = new Map<string, Set<Watch>>();
  readonly #stopped = Promise.withResolvers<void>();
  #isStopped = false;
  #ended: Promise<void> = Promise.resolve();
  /** Reads see at least what the feed has told. */
  #told: Lsn = 0n;

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#ended = this.#follow();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopped.resolve();
    await this.#ended;
  }

  /** @throws ClientError UNAUTHENTICATED where the user's tokens were ended. */
  async admit(claims: Claims): Promise<SignedIn> {
    let standing = await this.#standingOf(claims);
    // Newer than what is known: the token was made by another server, whose write has yet to be told here.
    if (standing && standing.tokenVersion < claims.version) standing = await this.#read(claims);
    if (!isGood(standing, claims)) throw refused('was ended');
    const { id, version, expiresAtMs, signedInAtMs } = claims;
    return { id, isAdmin: standing.isAdmin, version, expiresAtMs, signedInAtMs };
  }

  /** Tells the watch once the tokens of its version are ended. */
  watch(id: string, watch: Watch): void {
    const watches = this.#watches.get(id) ?? new Set();
    this.#watches.set(id, watches.add(watch));
    // What the feed told between the admission and this call was told to nobody.
    void this.#known.get(id)?.standing.then(
      (standing) => look(watch, standing),
      () => undefined,
    );
  }

  unwatch(id: string, watch: Watch): void {
    const watches = this.#watches.get(id);
    if (watches?.delete(watch) && watches.size === 0) this.#watches.delete(id);
  }

  /** A write of this process has ended the user's tokens: nobody waits for the feed to say so. */
  forget(id: string): void {
    this.#known.delete(id);
  }

  #standingOf(claims: Pick<Claims, 'id' | 'seen'>): Promise<Standing | null> {
    const known = this.#known.get(claims.id);
    const isBelieved = this.#options.feed.isLive || (known && performance.now() - known.atMs < BELIEVED_MS);
    return known && isBelieved ? known.standing : this.#read(claims);
  }

  /** What the feed tells while the read is under way replaces it. A failure is not kept. */
  #read({ id, seen }: Pick<Claims, 'id' | 'seen'>): Promise<Standing | null> {
    const standing = this.#load(id, seen);
    this.#keep(id, standing);
    standing.catch(() => {
      if (this.#known.peek(id)?.standing === standing) this.#known.delete(id);
    });
    return standing;
  }

  async #load(id: string, seen: Lsn): Promise<Standing | null> {
    const { router, primary } = this.#options;
    const position = later(later(seen, this.#told), primary.clock.latest ?? 0n);
    const reads = new Reads(router, primary, 'session', position, undefined);
    try {
      const { values } = await reads.read((place) => standingById.batcherOn(place.sql).load([id]));
      return values[0] ?? null;
    } finally {
      reads.release();
    }
  }

  #keep(id: string, standing: Promise<Standing | null>): void {
    this.#known.set(id, { standing, atMs: performance.now() });
  }

  async #follow(): Promise<void> {
    const { feed } = this.#options;
    await Promise.race([feed.opened(), this.#stopped.promise]);
    const follower = feed.follow();
    while (!this.#isStopped) {
      const change = follower.take();
      if (change) this.#hear(change);
      else await Promise.race([this.#wait(follower), this.#stopped.promise]);
    }
  }

  /** Where the place is not kept any more, changes went by unheard: everybody who is connected is looked at anew. */
  async #wait(follower: Follower): Promise<void> {
    try {
      await follower.wait();
    } catch {
      follower.restart();
      this.#known.clear();
      for (const id of this.#watches.keys())
        this.#read({ id, seen: 0n }).then(
          (standing) => this.#tell(id, standing),
          () => undefined,
        );
    }
  }

  #hear({ tableName, key, after, seen }: FeedChange): void {
    this.#told = later(this.#told, seen);
    if (tableName !== 'users') return;
    const standing = after && toStanding(key, after);
    if (this.#known.has(key)) this.#keep(key, Promise.resolve(standing));
    this.#tell(key, standing);
  }

  #tell(id: string, standing: Standing | null): void {
    for (const watch of Array.from(this.#watches.get(id) ?? [])) look(watch, standing);
  }
}

function look(watch: Watch, standing: Standing | null): void {
  if (!isGood(standing, watch)) watch.ended();
}

const toStanding = (id: string, image: Record<string, unknown>): Standing => ({
  id,
  isActive: image['is_active'] === true,
  isAdmin: image['is_admin'] === true,
  tokenVersion: Number(image['token_version']),
});

function isGood(standing: Standing | null, { version }: Pick<Claims, 'version'>): standing is Standing {
  return standing !== null && standing.isActive && standing.tokenVersion === version;
}
