import type { Sessions } from '../access/sessions.ts';
import type { Viewer } from '../access/viewer.ts';
import type { Connection } from './socket-connection.ts';

/** graphql-transport-ws has them: the client knows that the same token is not to be tried again. */
export const UNAUTHORIZED = 4401;
const FORBIDDEN = 4403;
/** Longer ones setTimeout takes for none. */
const LONGEST_MS = 2 ** 31 - 1;

/** Whom a socket is for, and until when: it closes with its token. */
export class SocketSession {
  readonly #connection: Connection;
  readonly #unwatch: () => void;
  #viewer: Viewer;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(connection: Connection, viewer: Viewer, sessions: Sessions) {
    this.#connection = connection;
    this.#viewer = viewer;
    const ended = () => this.close(FORBIDDEN, 'The token was ended: sign in again');
    this.#unwatch = viewer.user && !viewer.isOpen ? sessions.watch(viewer.user, ended) : () => {};
    this.#expireLater();
  }

  get viewer(): Viewer {
    return this.#viewer;
  }

  /** A message may still arrive while the socket closes: it is not for anybody any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The same user has another token, which lasts longer. */
  readonly renewed = (viewer: Viewer): void => {
    if (this.#isOver || viewer.user?.id !== this.#viewer.user?.id) return;
    this.#viewer = viewer;
    this.#expireLater();
  };

  close(code: number, reason: string): void {
    this.release();
    this.#connection.end(code, reason);
  }

  release(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#unwatch();
  }

  #expireLater(): void {
    clearTimeout(this.#timer);
    const { user, isOpen } = this.#viewer;
    if (!user || isOpen) return;
    const expire = () => this.close(UNAUTHORIZED, 'The token has expired: renew it in time, or sign in again');
    this.#timer = setTimeout(expire, Math.min(user.expiresAtMs - Date.now(), LONGEST_MS)).unref();
  }
}
