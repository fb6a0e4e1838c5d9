import { randomUUID } from 'node:crypto';
import { ClientError } from '../lib/errors.ts';
import { later, type Lsn } from '../lib/lsn.ts';
import type { HashFor, Hasher } from '../lib/password.ts';
import type { Primary } from '../replication/primary.ts';
import type { Accounts, Credentials, Found } from '../database/sql/accounts.ts';
import type { SigningKeys } from './keys.ts';
import type { Renewals } from './renewals.ts';
import type { Sessions } from './sessions.ts';
import type { Throttle } from './throttle.ts';
import { refused, type Tokens } from './tokens.ts';
import { mayAll, type Claims, type SignedIn, type Viewer } from './viewer.ts';

export interface AccessOptions {
  isOpen: boolean;
  /** Undefined: the project has none, and everybody is anonymous. */
  accounts: Accounts | undefined;
  /** Its writer is the one role that reaches a hash. */
  primary: Primary;
  hasher: Hasher;
  keys: SigningKeys;
  tokens: Tokens;
  renewals: Renewals;
  sessions: Sessions;
  throttle: Throttle;
}

/** Where an operation comes from, and who spends on it. */
interface From extends HashFor {
  address: string;
}

/** A token, and whom it is for. */
export interface Issued {
  token: string;
  claims: Claims;
  isAdmin: boolean;
}

/** Of a project without accounts, in which no token is ever given out: nobody is asked for more than this. */
export const NOBODY: Accounts = {
  table: '',
  standings: () => Promise.resolve({ rows: [], seen: 0n }),
  standingIn: nobodyIsHere,
  credentials: nobodyIsHere,
  credentialsOf: nobodyIsHere,
  renewToken: nobodyIsHere,
  faultsIn: nobodyIsHere,
  addAdministrator: nobodyIsHere,
};

function nobodyIsHere(): never {
  throw new ClientError('UNAUTHENTICATED', 'Nobody can sign in here: send no token.');
}

/** Who somebody is: by their password, and then by their token. */
export class Access {
  readonly sessions: Sessions;
  readonly #options: AccessOptions;
  readonly #accounts: Accounts;

  constructor(options: AccessOptions) {
    this.sessions = options.sessions;
    this.#options = options;
    this.#accounts = options.accounts ?? NOBODY;
  }

  get isOpen(): boolean {
    return this.#options.isOpen;
  }

  /** @throws ClientError UNAUTHENTICATED for a token that is not good, Renewed among them; in open mode it counts as none. */
  async viewer(token: string | undefined): Promise<Viewer> {
    const { isOpen, accounts, tokens, sessions } = this.#options;
    if (token === undefined) return { isOpen, user: null, isAnybody: accounts === undefined };
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
  async signIn(login: string, password: string, from: From): Promise<Issued> {
    const user = await this.#guess(this.#accounts.credentials(this.#options.primary.writer, login), password, from);
    if (!user) throw new ClientError('UNAUTHENTICATED', 'There is no such user, or the password is wrong.');
    return this.#issue(user, Date.now());
  }

  /** Their row, where the password is theirs: counted like a sign-in. @throws ClientError FORBIDDEN, or RATE_LIMITED. */
  async confirmPassword(id: string, password: string, from: From): Promise<Credentials> {
    const user = await this.#guess(this.#accounts.credentialsOf(this.#options.primary.writer, id), password, from);
    if (!user) throw new ClientError('FORBIDDEN', 'The present password is wrong.', { field: 'current' });
    return user;
  }

  /** A new token after a new password. */
  reissue(user: Pick<Credentials, 'id' | 'isAdmin' | 'tokenVersion' | 'seen'>): Promise<Issued> {
    return this.#issue(user, Date.now());
  }

  /**
   * The successor of the token that somebody has: the same one each time, for 10 s.
   * @throws ClientError UNAUTHENTICATED where it has had one for longer, which ends the session, or was ended.
   */
  async renew({ isAdmin, ...claims }: SignedIn, seen: Lsn): Promise<Issued> {
    const { keys, renewals, tokens } = this.#options;
    const expiresAtMs = tokens.expiryOf(claims.signedInAtMs);
    const keyId = (await keys.current()).id;
    const made = await renewals.renew(claims, { keyId, seen: later(claims.seen, seen), expiresAtMs });
    const secret = await keys.byId(made.keyId);
    if (!secret) throw refused('is none of this server, or older than its keys');
    const successor = { ...claims, seen: made.seen, expiresAtMs: made.expiresAtMs, generation: claims.generation + 1 };
    return { token: await tokens.sign(successor, { id: made.keyId, secret }), claims: successor, isAdmin };
  }

  /** Who is about to write. @throws ClientError UNAUTHENTICATED, or PRIMARY_UNAVAILABLE where nobody knows. */
  async confirm({ isOpen, user }: Viewer): Promise<void> {
    if (!isOpen && user) await this.sessions.confirm(user);
  }

  /** A row was written: those of accounts say which tokens are good. */
  wrote(table: string, id: string, lsn: Lsn): void {
    if (table === this.#accounts.table) this.sessions.changed(id, lsn);
  }

  /** Whoever signs up learns what names are taken. @throws ClientError RATE_LIMITED */
  async countSignUp(viewer: Viewer, address: string): Promise<void> {
    if (!mayAll(viewer)) await this.#options.throttle.signUp(address);
  }

  /** And so does who takes another name: as often. */
  naming<T>(viewer: Viewer, address: string, work: () => Promise<T>): Promise<T> {
    return mayAll(viewer) ? work() : this.#options.throttle.asking(address, work);
  }

  async #guess(asked: Promise<Found>, password: string, from: From): Promise<Credentials | undefined> {
    const { primary, hasher, throttle } = this.#options;
    const { account, user } = await primary.answer(asked);
    const check = async () => {
      const isRight = await hasher.verify(user?.passwordHash, password, from);
      return user && isRight && user.isActive ? user : undefined;
    };
    return throttle.attempt(from.address, { account, check });
  }

  async #issue(
    { id, isAdmin, tokenVersion, seen }: Pick<Credentials, 'id' | 'isAdmin' | 'tokenVersion' | 'seen'>,
    signedInAtMs: number,
  ): Promise<Issued> {
    const { keys, tokens } = this.#options;
    const session = { session: randomUUID(), generation: 0 };
    const expiresAtMs = tokens.expiryOf(signedInAtMs);
    const claims = { id, version: tokenVersion, seen, signedInAtMs, expiresAtMs, ...session };
    return { token: await tokens.sign(claims, await keys.current()), claims, isAdmin };
  }
}

export const viewerOf = (isOpen: boolean, { claims, isAdmin }: Issued): Viewer => ({
  isOpen,
  user: { ...claims, isAdmin },
});

const BEARER = /^bearer +(\S+)$/i;

/** Undefined where there is no token in it. */
export const bearerOf = (authorization: string | undefined) => BEARER.exec(authorization ?? '')?.[1];
