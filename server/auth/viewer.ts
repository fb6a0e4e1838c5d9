import type { Claims as RuleClaims } from '../declare/rule.ts';
import type { Lsn } from '../lib/lsn.ts';

/** What a token says. */
export interface Claims {
  id: string;
  /** Their tokens are good while their row carries this number. */
  version: number;
  /** The user's row, as it was when the token was made, is there from this position on. */
  seen: Lsn;
  /** When they gave their password. */
  signedInAtMs: number;
  /** Of the token, in milliseconds since 1970; a renewed one lasts longer. */
  expiresAtMs: number;
  /** All tokens that come of one sign-in. */
  session: string;
  /** How often it was renewed before. */
  generation: number;
}

/** Who is signed in: what their token says, and what their row said when it was checked. */
export interface SignedIn extends Claims {
  isAdmin: boolean;
}

/** Whom an operation is run for. */
export interface Viewer {
  /** ACCESS=open: nobody is asked who they are, and everything is allowed. */
  isOpen: boolean;
  user: SignedIn | null;
  /** The project has no accounts: what whoever is signed in may, everybody may, and rules find no claims. */
  isAnybody?: boolean;
  /** The token that came along has had a successor for too long: all that it is taken for is to be renewed once more. */
  renewed?: SignedIn;
}

export const mayAll = ({ isOpen, user }: Viewer): boolean => isOpen || user?.isAdmin === true;

/** What rules know of the viewer. Administrators are not asked for any. */
export const claimsOf = ({ user }: Viewer): RuleClaims => ({ sub: user?.id ?? null, roles: [] });
