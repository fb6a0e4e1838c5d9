import type { Accounts } from '../database/sql/accounts.ts';
import { ClientError } from '../lib/errors.ts';

/** Of a project without accounts, in which no token is ever given out: nobody is asked for more than this. */
export const NOBODY: Accounts = {
  table: '',
  standings: () => Promise.resolve({ rows: [], seen: 0n }),
  standingIn: refuse,
  credentials: refuse,
  credentialsOf: refuse,
  renewToken: refuse,
  faultsIn: refuse,
  addAdministrator: refuse,
};

function refuse(): never {
  throw new ClientError('UNAUTHENTICATED', 'Nobody can sign in here: send no token.');
}
