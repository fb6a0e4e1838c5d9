import type { Sessions, Watch } from '../../auth/sessions.ts';
import { Renewed } from '../../auth/tokens.ts';
import type { Claims, Viewer } from '../../auth/viewer.ts';
import { asClientError } from '../../lib/errors.ts';

/** graphql-transport-ws has them: the client knows that the same token is not to be tried again. */
export const UNAUTHORIZED = 4401;
const FORBIDDEN = 4403;
/** Longer ones setTimeout takes for none. */
const LONGEST_MS = 2 ** 31 - 1;

const NOBODYS = { version: 0, session: '', generation: 0 };

interface Socket {
  end: (code: number, reason: string) => void;
}

/** Whom a socket is for, and until when: it closes with its token. */
export class SocketSession implements Watch {
  readonly #socket: Socket;
  readonly #sessions: Sessions;
  #viewer: Viewer;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(socket: Socket, viewer: Viewer, sessions: Sessions) {
    this.#socket = socket;
    this.#viewer = viewer;
    this.#sessions = sessions;
    if (viewer.user && !viewer.isOpen) sessions.watch(viewer.user.id, this);
    this.#expireLater();
  }

  get user(): Viewer['user'] {
    return this.#viewer.user;
  }

  get claims(): Pick<Claims, 'version' | 'session' | 'generation'> {
    return this.#viewer.user ?? NOBODYS;
  }

  /**
   * Whom the next operation is run for: a socket may outlive what its token was given for.
   * @throws ClientError UNAUTHENTICATED where its token is not good any more, which closes the socket.
   */
  async admitted(): Promise<Viewer> {
    const { isOpen, user } = this.#viewer;
    if (isOpen || !user) return this.#viewer;
    try {
      return { isOpen, user: await this.#sessions.admit(user) };
    } catch (error) {
      if (asClientError(error)?.code === 'UNAUTHENTICATED') this.ended(error instanceof Renewed ? 'renewed' : 'ended');
      throw error;
    }
  }

  /** A message may still arrive while the socket closes: it is not for anybody any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The same user has another token, which lasts longer. */
  renewed(viewer: Viewer): void {
    if (this.#isOver || viewer.user?.id !== this.#viewer.user?.id) return;
    this.#viewer = viewer;
    this.#expireLater();
  }

  ended(why: 'ended' | 'renewed'): void {
    if (this.#isOver) return;
    if (why === 'ended') this.close(FORBIDDEN, 'The token was ended: sign in again');
    else this.close(UNAUTHORIZED, 'The token was renewed: connect again with the one that came of it');
  }

  close(code: number, reason: string): void {
    this.release();
    this.#socket.end(code, reason);
  }

  release(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    if (this.#viewer.user) this.#sessions.unwatch(this.#viewer.user.id, this);
  }

  #expireLater(): void {
    clearTimeout(this.#timer);
    const { user, isOpen } = this.#viewer;
    if (!user || isOpen) return;
    this.#timer = setTimeout(SocketSession.#expire, Math.min(user.expiresAtMs - Date.now(), LONGEST_MS), this).unref();
  }

  static #expire(this: void, session: SocketSession): void {
    session.close(UNAUTHORIZED, 'The token has expired: renew it in time, or sign in again');
  }
}
