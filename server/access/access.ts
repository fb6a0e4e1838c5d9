import type { Sql } from '../db/connect.ts';
import { ClientError } from '../lib/errors.ts';
import type { Hasher } from '../lib/password.ts';
import { credentials, credentialsOf, type Credentials } from '../store/access.ts';
import type { Sessions } from './sessions.ts';
import type { Throttle } from './throttle.ts';
import type { Claims, Tokens } from './tokens.ts';
import type { Viewer } from './viewer.ts';

export interface AccessOptions {
  isOpen: boolean;
  /** Of the primary, as readback_writer: the one role that reaches a hash. */
  writer: Sql;
  /** What was asked of it, in time. @throws ClientError PRIMARY_UNAVAILABLE */
  answer: <T>(work: Promise<T>) => Promise<T>;
  hasher: Hasher;
  tokens: Tokens;
  sessions: Sessions;
  throttle: Throttle;
}

/** A token, and whom it is for. */
export interface Issued {
  token: string;
  claims: Claims;
  isAdmin: boolean;
}

/** Who somebody is: by their password, and then by their token. */
export class Access {
  readonly sessions: Sessions;
  readonly #options: AccessOptions;

  constructor(options: AccessOptions) {
    this.sessions = options.sessions;
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#options.isOpen;
  }

  /** @throws ClientError UNAUTHENTICATED for a token that is not good; in open mode it counts as none. */
  async viewer(token: string | undefined): Promise<Viewer> {
    const { isOpen, tokens, sessions } = this.#options;
    if (token === undefined) return { isOpen, user: null };
    try {
      return { isOpen, user: await sessions.admit(await tokens.verify(token)) };
    } catch (error) {
      if (!isOpen) throw error;
      return { isOpen, user: null };
    }
  }

  /**
   * Who is not there, who may not sign in and whose password is another look the same, and take the same time.
   * @throws ClientError UNAUTHENTICATED, or RATE_LIMITED after too many wrong ones.
   */
  async signIn(login: string, password: string, address: string): Promise<Issued> {
    const { writer, throttle } = this.#options;
    const attempt = () => this.#check(credentials(writer, login), password);
    const user = await throttle.attempt(login.toLowerCase(), address, attempt);
    if (!user) throw new ClientError('UNAUTHENTICATED', 'There is no such user, or the password is another one.');
    return this.#issue(user, Date.now());
  }

  /** Their row, where the password is theirs: counted like a sign-in. @throws ClientError FORBIDDEN, or RATE_LIMITED. */
  async confirmPassword(id: string, password: string, address: string): Promise<Credentials> {
    const { writer, throttle } = this.#options;
    const user = await throttle.attempt(id, address, () => this.#check(credentialsOf(writer, id), password));
    if (!user) throw new ClientError('FORBIDDEN', 'The present password is another one.', { field: 'current' });
    return user;
  }

  /** A new token after a new password. */
  reissue(user: Pick<Credentials, 'id' | 'isAdmin' | 'tokenVersion' | 'seen'>): Promise<Issued> {
    return this.#issue(user, Date.now());
  }

  async renew({ user }: Viewer, seen: bigint): Promise<Issued> {
    const { id, isAdmin, version, signedInAtMs } = user!;
    return this.#issue({ id, isAdmin, tokenVersion: version, seen }, signedInAtMs);
  }

  async #check(found: Promise<Credentials | undefined>, password: string): Promise<Credentials | undefined> {
    const { answer, hasher } = this.#options;
    const user = await answer(found);
    const isRight = await hasher.verify(user?.passwordHash, password);
    return user && isRight && user.isActive ? user : undefined;
  }

  async #issue(
    { id, isAdmin, tokenVersion, seen }: Pick<Credentials, 'id' | 'isAdmin' | 'tokenVersion' | 'seen'>,
    signedInAtMs: number,
  ): Promise<Issued> {
    const claims = { id, version: tokenVersion, seen, signedInAtMs };
    const { token, expiresAtMs } = await this.#options.tokens.issue(claims);
    return { token, claims: { ...claims, expiresAtMs }, isAdmin };
  }
}

export const viewerOf = (isOpen: boolean, { claims, isAdmin }: Issued): Viewer => ({
  isOpen,
  user: { ...claims, isAdmin },
});

const BEARER = /^bearer +(\S+)$/i;

/** Undefined where there is no token in it. */
export const bearerOf = (authorization: string | undefined) => BEARER.exec(authorization ?? '')?.[1];
