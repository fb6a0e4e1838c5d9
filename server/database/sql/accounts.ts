import type { Sql, Statement } from '../connect.ts';
import type { Lsn } from '../../lib/lsn.ts';
import type { Image } from './change-log.ts';
import type { Renewal, Renewed, Successor } from './renewals.ts';
import type { Seen } from './seen.ts';

/** What says whether a user's tokens are good, and what they may. */
export interface Standing {
  id: string;
  isActive: boolean;
  isAdmin: boolean;
  tokenVersion: number;
}

export interface Credentials extends Standing {
  passwordHash: string;
  /** At or after everything that this statement saw. */
  seen: Lsn;
}

export interface Found {
  /** The same for whatever means one account: its id or, where there is none, what the login comes to. */
  account: string;
  user: Credentials | undefined;
}

export interface NewAccount {
  username: string;
  email: string;
  password: string;
}

/** Those who can sign in, as the project has them. */
export interface Accounts {
  /** In SQL, and published: the feed tells of its rows. */
  table: string;
  /** Either side has them. */
  standings: (sql: Sql, ids: readonly string[]) => Promise<Seen<Standing>>;
  /** As a change of the row tells it. */
  standingIn: (id: string, image: Image) => Standing;
  /** By whatever name they sign in with, on the primary. */
  credentials: (sql: Sql, login: string) => Promise<Found>;
  credentialsOf: (sql: Sql, id: string) => Promise<Found>;
  /** On the primary, as readback_writer: notes the successor in readback.renewals, where the token is good. */
  renewToken: (sql: Sql, token: Renewed, successor: Successor) => Statement<Renewal>;
  /** What is wrong with a new account, in words; none where nothing is. */
  faultsIn: (account: NewAccount) => string[];
  /** Needs more than readback_writer: the server itself makes no administrators. */
  addAdministrator: (sql: Sql, account: Omit<NewAccount, 'password'>, passwordHash: string) => PromiseLike<unknown>;
}
