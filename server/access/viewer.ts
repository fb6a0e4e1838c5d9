/** Who is signed in: what their token says, and what their row said when it was checked. */
export interface SignedIn {
  id: string;
  isAdmin: boolean;
  /** Their tokens are good while the row carries this number. */
  version: number;
  /** Of the token, in milliseconds since 1970; a renewed one lasts longer. */
  expiresAtMs: number;
  /** When they gave their password. */
  signedInAtMs: number;
}

/** Whom an operation is run for. */
export interface Viewer {
  /** ACCESS=open: nobody is asked who they are, and everything is allowed. */
  isOpen: boolean;
  user: SignedIn | null;
}

export const mayAll = ({ isOpen, user }: Viewer): boolean => isOpen || user?.isAdmin === true;
