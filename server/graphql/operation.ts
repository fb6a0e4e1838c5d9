import { bearerOf } from '../auth/access.ts';
import { Renewed } from '../auth/tokens.ts';
import type { Viewer } from '../auth/viewer.ts';
import { badInput, ClientError } from '../lib/errors.ts';
import type { Lsn } from '../lib/lsn.ts';
import type { Observer, OperationObserver, Via } from '../lib/observer.ts';
import { spenderOf } from '../lib/spender.ts';
import { Loaders, Reads, type Level, type Report } from '../reads/reads.ts';
import type { PreparedDocument } from './documents.ts';
import type { Limits } from './limits.ts';
import { codeOf } from './masking.ts';
import { Positions, type Bookmarks } from './positions.ts';
import type { Context, Services } from './schema/context.ts';

/** What a client says about one operation beside its document: headers, cookies, or extensions on a websocket. */
export interface RequestOptions {
  requestId: string;
  via: Via;
  /** Of the client's trace. */
  traceparent?: string | undefined;
  address: string;
  /** HTTP: the header that may hold a token. */
  authorization?: string | undefined;
  /** Websocket: whose socket it is. */
  socket?: Socket | undefined;
  /** The operation sees all of them. */
  bookmarks?: Bookmarks | undefined;
  consistency?: string | undefined;
}

interface Socket {
  admitted: () => Promise<Viewer>;
  renewed: (viewer: Viewer) => void;
}

/** Begins operations, the same for HTTP, websocket and REST. */
export class Operations {
  readonly #services: Services;
  readonly #limits: Limits;
  readonly #observer: Observer;
  readonly #positions: Positions;

  constructor(services: Services, limits: Limits, observer: Observer) {
    this.#observer = observer;
    this.#services = services;
    this.#limits = limits;
    this.#positions = new Positions(services.primary, services.router);
  }

  /** @throws ClientError UNAUTHENTICATED, RATE_LIMITED, BAD_BOOKMARK, or BAD_USER_INPUT for an unknown consistency. */
  async begin(options: RequestOptions): Promise<Operation> {
    const observer = this.#observer.operation(options);
    try {
      return await this.#admit(options, observer);
    } catch (error) {
      observer.ended(codeOf(error));
      throw error;
    }
  }

  async #admit(options: RequestOptions, observer: OperationObserver): Promise<Operation> {
    const { requestId, via, address, authorization, socket, bookmarks, consistency } = options;
    const viewer = await (socket ? socket.admitted() : this.#viewer(authorization, address));
    const spender = spenderOf(viewer.user, address);
    const refused = this.#limits.budget.count(spender);
    if (refused) await refused;
    const level = parseLevel(consistency);
    const position = bookmarks ? await this.#positions.latestOf(bookmarks) : null;
    const reads = new Reads(this.#services, level, position, observer);
    return this.#make({ requestId, via, viewer, address, spender, socket }, reads, observer);
  }

  /** Before a large body is read: who is to pay for that. What its token is worth is said when it was read. */
  async spenderOf(authorization: string | undefined, address: string): Promise<string> {
    const viewer = await this.#services.access.viewer(bearerOf(authorization)).catch(() => null);
    return spenderOf(viewer?.user ?? null, address);
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
    const reads = new Reads(this.#services, 'session', seen, undefined);
    return this.#make({ requestId, via, viewer, address, spender, socket: undefined }, reads, undefined);
  }

  #make(whose: Whose, reads: Reads, observer: OperationObserver | undefined): Operation {
    return new Operation(whose, reads, observer, this.#services, this.#positions, this.#limits);
  }
}

/** Whose operation it is. */
interface Whose extends Pick<RequestOptions, 'requestId' | 'via' | 'address' | 'socket'> {
  viewer: Viewer;
  spender: string;
}

/** One operation, from its beginning to its end: resolvers have it as their context. */
export class Operation implements Context {
  readonly requestId: string;
  readonly via: Via;
  viewer: Viewer;
  readonly address: string;
  readonly spender: string;
  readonly reads: Reads;
  loaders: Loaders;
  readonly services: Services;
  readonly positions: Positions;
  /** Undefined for the rendering of an event. */
  readonly observer: OperationObserver | undefined;
  /** Its document, once it was looked for. */
  prepared: PreparedDocument | undefined;
  readonly #socket: Socket | undefined;
  readonly #limits: Limits;
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #endTurn: (() => void) | undefined;
  #isReleased = false;

  constructor(
    { requestId, via, viewer, address, spender, socket }: Whose,
    reads: Reads,
    observer: OperationObserver | undefined,
    services: Services,
    positions: Positions,
    limits: Limits,
  ) {
    this.requestId = requestId;
    this.via = via;
    this.viewer = viewer;
    this.address = address;
    this.spender = spender;
    this.reads = reads;
    this.observer = observer;
    this.services = services;
    this.positions = positions;
    this.#socket = socket;
    this.#limits = limits;
    this.loaders = this.#freshLoaders();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  #freshLoaders(): Loaders {
    return new Loaders(this.reads, this.signal, this.observer, this.spender, this.#limits.budget.isLimited);
  }

  renewed(viewer: Viewer): void {
    this.#socket?.renewed(viewer);
  }

  /** From here on it has its time. */
  begun(): void {
    const ms = this.#limits.options.operationTimeoutMs;
    this.#timer ??= setTimeout(() => this.#controller.abort(timedOut(ms)), ms);
  }

  /** Undefined: it may run at once. Its turn ends when it is released. */
  turn(cost: number): Promise<void> | undefined {
    const waited = this.#limits.budget.turn(this.spender, cost, this.signal);
    return waited?.then((end) => {
      if (this.#isReleased) end();
      else this.#endTurn = end;
    });
  }

  /** What failed is kept, and would fail at once: of several that do, another one would be told. */
  again(): void {
    this.loaders = this.#freshLoaders();
  }

  /** Nobody waits for it any more: what it has under way is cancelled. */
  abandon(): void {
    this.#controller.abort(new ClientError('TIMEOUT', 'Nobody waits for the answer any more.'));
  }

  get report(): Report {
    const { position, report } = this.reads;
    if (position === null || !this.services.primary.history) return report;
    return { ...report, bookmark: this.positions.bookmark(position) };
  }

  release(): void {
    clearTimeout(this.#timer);
    this.#isReleased = true;
    this.#endTurn?.();
    this.#endTurn = undefined;
    this.reads.release();
  }
}

const LEVELS: ReadonlySet<string> = new Set<Level>(['eventual', 'session', 'strong']);

function parseLevel(text = 'session'): Level {
  const level = text.toLowerCase();
  if (LEVELS.has(level)) return level as Level;
  throw badInput(`Readback-Consistency must be eventual, session or strong, got: ${text.slice(0, 50)}`);
}

const timedOut = (ms: number) =>
  new ClientError('TIMEOUT', `The operation took longer than ${ms} ms, and was ended: ask for less, or try again.`);
