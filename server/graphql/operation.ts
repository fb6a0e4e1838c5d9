import { bearerOf } from '../auth/access.ts';
import { Renewed } from '../auth/tokens.ts';
import type { Viewer } from '../auth/viewer.ts';
import { badCursor, decodeCursor, encodeCursor, type FeedCursor } from '../feed/cursor.ts';
import { badInput, ClientError } from '../lib/errors.ts';
import type { History } from '../lib/history.ts';
import { Loaders } from '../reads/loaders.ts';
import { badBookmark, decodeBookmark, encodeBookmark } from '../replication/bookmark.ts';
import { later, type Lsn } from '../lib/lsn.ts';
import { spenderOf } from '../lib/spender.ts';
import type { Observer, OperationObserver, Via } from '../lib/observer.ts';
import type { Primary } from '../replication/primary.ts';
import { Reads, type Level, type Report } from '../reads/reads.ts';
import type { Router } from '../reads/router.ts';
import { Deadline } from './limits/deadline.ts';
import type { ReadDocument } from './documents.ts';
import type { Failing, Repeatable } from './execution.ts';
import type { Limits } from './limits/limits.ts';
import type { Context, Services } from './schema/context.ts';
import { bookmarksIn, type Browser } from './bookmark-cookies.ts';
import { codeOf } from './masking.ts';

/** What a client says about one operation beside its document: headers, cookie, or websocket extensions. */
export interface Wishes {
  requestId: string;
  via: Via;
  /** Of the client's trace. */
  traceparent?: string | undefined;
  address: string;
  /** HTTP: the header that may hold a token. */
  authorization?: string | undefined;
  /** Websocket: whose socket it is. */
  socket?: (Pick<Context, 'renewed'> & { admitted: () => Promise<Viewer> }) | undefined;
  /** The operation sees all of them. Undefined: those of the browser. */
  bookmarks?: readonly string[] | undefined;
  consistency?: string | undefined;
  /** HTTP only: the bookmark goes back as a cookie, too. */
  browser?: Browser | undefined;
}

export interface Operation extends Context, Failing, Repeatable {
  via: Via;
  /** Its document, once it was looked for. */
  read?: ReadDocument | undefined;
  /** Undefined for the rendering of an event. */
  observer: OperationObserver | undefined;
  browser: Wishes['browser'];
  /** From here on it has its time. */
  begun: () => void;
  /** What it may cost, once that is paid. */
  cost?: number;
  /** Undefined: it may run at once. Its turn ends when it is released. */
  turn: (cost: number) => Promise<void> | undefined;
  /** Nobody waits for it any more: what it has under way is cancelled. */
  abandon: () => void;
  report: () => Report;
  release: () => void;
}

/** Until the primary was reached once. */
const UNKNOWN = { cluster: 0n, timeline: 0 };

const LEVELS: ReadonlySet<string> = new Set<Level>(['eventual', 'session', 'strong']);

/** Makes the contexts of operations, the same for HTTP, websocket and REST. */
export class Operations {
  readonly #services: Services;
  readonly #router: Router;
  readonly #limits: Limits;
  readonly #observer: Observer;

  constructor(services: Services, router: Router, limits: Limits, observer: Observer) {
    this.#observer = observer;
    this.#services = services;
    this.#router = router;
    this.#limits = limits;
  }

  /** @throws ClientError UNAUTHENTICATED, BAD_BOOKMARK, or BAD_USER_INPUT for an unknown consistency. */
  async begin(wishes: Wishes): Promise<Operation> {
    const observer = this.#observer.operation(wishes);
    try {
      return await this.#admit(wishes, observer);
    } catch (error) {
      observer.ended(codeOf(error));
      throw error;
    }
  }

  async #admit(
    { requestId, via, address, authorization, socket, bookmarks, consistency, browser }: Wishes,
    observer: OperationObserver,
  ): Promise<Operation> {
    const viewer = await (socket ? socket.admitted() : this.#viewer(authorization, address));
    const spender = spenderOf(viewer.user, address);
    const refused = this.#limits.budget.count(spender);
    if (refused) await refused;
    const level = parseLevel(consistency);
    const positions = await this.#positionsOf(bookmarks, browser?.cookies);
    const position = positions.length > 0 ? positions.reduce(later) : null;
    const renewed = socket && ((of: Viewer) => socket.renewed?.(of));
    return { ...this.#make(requestId, level, position, observer, spender), via, viewer, address, renewed, browser };
  }

  /** Before a large body is read: who is to pay for that. What its token is worth is said when it was read. */
  async spenderOf(authorization: string | undefined, address: string): Promise<string> {
    const viewer = await this.#services.access.viewer(bearerOf(authorization)).catch(() => null);
    return spenderOf(viewer?.user ?? null, address);
  }

  async #positionsOf(bookmarks: readonly string[] | undefined, cookies: Browser['cookies'] = {}): Promise<Lsn[]> {
    const { primary } = this.#services;
    if (bookmarks) return readBookmarks(bookmarks, primary, this.#router);
    if (Object.keys(cookies).length === 0) return [];
    return readBookmarks(bookmarksIn(cookies, await clusterOf(primary)), primary, this.#router);
  }

  /** Tokens that are not good count at the address that they come from. One that was renewed may be renewed once more. */
  async #viewer(authorization: string | undefined, address: string): Promise<Viewer> {
    const { access } = this.#services;
    try {
      return await access.viewer(bearerOf(authorization));
    } catch (error) {
      if (error instanceof Renewed) return { isOpen: false, user: null, renewed: error.user };
      await this.#limits.budget.count(spenderOf(null, address));
      throw error;
    }
  }

  /** For the execution of a subscription on one event: what it reads is at or past the event. */
  forEvent({ requestId, via, address }: Operation, viewer: Viewer, seen: Lsn | null, spender: string): Operation {
    return { ...this.#make(requestId, 'session', seen, undefined, spender), via, viewer, address, browser: undefined };
  }

  #make(
    requestId: string,
    level: Level,
    position: Lsn | null,
    observer: OperationObserver | undefined,
    spender: string,
  ): Omit<Operation, 'via' | 'viewer' | 'address' | 'renewed' | 'browser'> {
    const { primary } = this.#services;
    const reads = new Reads(this.#router, primary, level, position, observer);
    const deadline = new Deadline(this.#limits.options.operationTimeoutMs);
    const freshLoaders = () => new Loaders(reads, deadline.signal, observer, spender, this.#limits.budget.isLimited);
    let endTurn: (() => void) | undefined;
    let isReleased = false;
    const token = (lsn: Lsn) => encodeBookmark(historyOf(primary), lsn);
    return {
      requestId,
      observer,
      spender,
      signal: deadline.signal,
      reads,
      loaders: freshLoaders(),
      freshLoaders,
      services: this.#services,
      bookmark: token,
      readBookmark: (text) => readBookmark(text, primary, this.#router),
      cursor: (place, isPartial = false) => encodeCursor({ ...place, ...(primary.history ?? UNKNOWN), isPartial }),
      readCursor: (text) => readCursor(text, primary, this.#router),
      report: () => ({
        ...reads.report,
        ...(reads.position !== null && primary.history && { bookmark: token(reads.position) }),
      }),
      turn: (cost) => {
        const waited = this.#limits.budget.turn(spender, cost, deadline.signal);
        return waited?.then((end) => {
          if (isReleased) end();
          else endTurn = end;
        });
      },
      begun: () => deadline.start(),
      abandon: () => deadline.abandon(),
      release: () => {
        deadline.stop();
        isReleased = true;
        endTurn?.();
        endTurn = undefined;
        reads.release();
      },
    };
  }
}

/** A bookmark without it would be none: a read that carries it would see less than its client believes. */
function historyOf({ history }: Primary): History {
  if (history) return history;
  throw new ClientError(
    'PRIMARY_UNAVAILABLE',
    'The primary was not reached yet, so no bookmark can be given out: try again soon.',
  );
}

function parseLevel(text = 'session'): Level {
  const level = text.toLowerCase();
  if (LEVELS.has(level)) return level as Level;
  throw badInput(`Readback-Consistency must be eventual, session or strong, got: ${text.slice(0, 50)}`);
}

const MOST_BOOKMARKS = 10;

async function readBookmarks(texts: readonly string[], primary: Primary, router: Router): Promise<Lsn[]> {
  if (texts.length > MOST_BOOKMARKS) throw badBookmark(`list is longer than ${MOST_BOOKMARKS}`);
  return Promise.all(texts.map((text) => readBookmark(text, primary, router)));
}

async function clusterOf(primary: Primary): Promise<bigint> {
  if (!primary.history) await primary.flushedNow();
  return primary.history!.cluster;
}

/** A position that the primary has not reached was never given out: nobody waits for it. */
async function readBookmark(text: string, primary: Primary, router: Router): Promise<Lsn> {
  if (!primary.history) await primary.flushedNow();
  const lsn = decodeBookmark(text, primary.history!);
  if (!isReached(lsn, primary, router) && lsn > (await primary.flushedNow()))
    throw badBookmark("is beyond the end of the primary's log");
  return lsn;
}

/** As far as this server knows: another one may have given out what this one has yet to hear of. */
const isReached = (lsn: Lsn, { clock: { latest } }: Primary, router: Router) =>
  (latest !== null && lsn <= latest) || router.isApplied(lsn);

/** With the primary away nobody knows: the subscription waits, as it would for a replica. */
async function readCursor(text: string, primary: Primary, router: Router): Promise<FeedCursor> {
  const cursor = decodeCursor(text, primary.history);
  if (isReached(cursor.lsn, primary, router)) return cursor;
  const flushed = await primary.flushedNow().catch(() => null); // the look tells why
  if (flushed !== null && cursor.lsn > flushed && !router.isApplied(cursor.lsn))
    throw badCursor("is beyond the end of the primary's log");
  // The look may have found out which timelines there are.
  return decodeCursor(text, primary.history);
}
