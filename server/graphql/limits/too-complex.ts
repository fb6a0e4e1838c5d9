import { ClientError } from '../../lib/errors.ts';

/** `what` says what came, and what is the most. */
export const tooComplex = (what: string) =>
  new ClientError('QUERY_TOO_COMPLEX', `The operation ${what}: ask for less at a time.`);
