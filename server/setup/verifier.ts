import { createHash, createHmac, pbkdf2 as derive, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';

const pbkdf2 = promisify(derive);

/** PostgreSQL's own. */
const ITERATIONS = 4096;
const SALT_BYTES = 16;
const HASH = 'sha256';

/**
 * What PostgreSQL keeps of a password, as RFC 5802 and 7677 have it: a role is made with that, as statements, those that
 * fail above all, may stand in its log. Passwords beyond ASCII are normalised, as by PostgreSQL and libpq.
 */
export async function scramVerifier(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const salted = await pbkdf2(password.normalize('NFKC'), salt, ITERATIONS, 32, HASH);
  const hmac = (text: string) => createHmac(HASH, salted).update(text).digest();
  const storedKey = createHash(HASH).update(hmac('Client Key')).digest('base64');
  const serverKey = hmac('Server Key').toString('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}
