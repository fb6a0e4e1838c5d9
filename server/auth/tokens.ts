import { createHash } from 'node:crypto';
import { errors, jwtVerify, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { ClientError } from '../lib/errors.ts';
import { formatLsn, parseLsn } from '../lib/lsn.ts';
import type { SigningKey } from '../database/sql/keys.ts';
import type { SigningKeys } from './keys.ts';
import type { Claims, SignedIn } from './viewer.ts';

type Key = Pick<SigningKey, 'id' | 'secret'>;

const ISSUER = 'readback';
const ALGORITHM = 'HS256';
const MOST_KNOWN = 10_000;

const payload = z.object({
  sub: z.string(),
  ver: z.number(),
  pos: z.string(),
  auth_time: z.number(),
  exp: z.number(),
  sid: z.guid().optional(),
  gen: z.int().nonnegative().optional(),
});

/** Access tokens: signed by a key that all servers share, and short-lived. */
export class Tokens {
  readonly #keys: SigningKeys;
  readonly #ttlMs: number;
  readonly #sessionMs: number;
  /** Verified before: a client sends the same one with every request. */
  readonly #known = new LRUCache<string, { claims: Claims; key: string; secret: Uint8Array }>({ max: MOST_KNOWN });

  /** `sessionMs` after its sign-in no token can be renewed any more. */
  constructor(keys: SigningKeys, ttlMs: number, sessionMs: number) {
    this.#keys = keys;
    this.#ttlMs = ttlMs;
    this.#sessionMs = sessionMs;
  }

  /** Until when a token that is made now is good. @throws ClientError UNAUTHENTICATED where the session is over. */
  expiryOf(signedInAtMs: number): number {
    const expiresAtMs = Math.min(Date.now() + this.#ttlMs, signedInAtMs + this.#sessionMs);
    if (expiresAtMs <= Date.now()) throw refused('cannot be renewed any more');
    return expiresAtMs;
  }

  /** Of the same claims and the same key always the same token. */
  sign({ id, version, seen, signedInAtMs, expiresAtMs, session, generation }: Claims, key: Key): Promise<string> {
    const times = { auth_time: signedInAtMs / 1000 };
    return new SignJWT({ ver: version, pos: formatLsn(seen), ...times, sid: session, gen: generation })
      .setProtectedHeader({ alg: ALGORITHM, kid: key.id })
      .setIssuer(ISSUER)
      .setSubject(id)
      .setExpirationTime(expiresAtMs / 1000)
      .sign(key.secret);
  }

  /** @throws ClientError UNAUTHENTICATED where it is none of ours, or over. */
  async verify(token: string): Promise<Claims> {
    const known = this.#known.get(token);
    const isKnown = known !== undefined && (await this.#keys.byId(known.key)) === known.secret;
    const claims = isKnown ? known.claims : await this.#verifyNew(token);
    if (claims.expiresAtMs <= Date.now()) throw refused('has expired');
    return claims;
  }

  async #verifyNew(token: string): Promise<Claims> {
    let used: { key: string; secret: Uint8Array } | undefined;
    const keyOf = async ({ kid = '' }: { kid?: string }) => {
      const secret = await this.#keys.byId(kid);
      if (!secret) throw refused('is none of this server, or older than its keys');
      used = { key: kid, secret };
      return secret;
    };
    try {
      const verified = await jwtVerify(token, keyOf, { issuer: ISSUER, algorithms: [ALGORITHM] });
      const { sub, ver, pos, auth_time, exp, sid = sessionOf(token), gen = 0 } = payload.parse(verified.payload);
      const times = { signedInAtMs: Math.round(auth_time * 1000), expiresAtMs: Math.round(exp * 1000) };
      const claims = { id: sub, version: ver, seen: parseLsn(pos), ...times, session: sid, generation: gen };
      this.#known.set(token, { claims, ...used! });
      return claims;
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw refused('has expired');
      if (error instanceof errors.JOSEError || error instanceof z.ZodError)
        throw refused('is none that this server gave out');
      throw error;
    }
  }
}

/** A token of a version that had no sessions begins one by itself, where it is renewed. */
function sessionOf(token: string): string {
  const hex = createHash('sha256').update(token).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
}

/** A token that has had a successor for too long: it is good for nothing, and to renew it once more ends its session. */
export class Renewed extends ClientError {
  readonly user: SignedIn;

  constructor(user: SignedIn) {
    super('UNAUTHENTICATED', 'The token was renewed a while ago: use the one that came of it, or sign in again.');
    this.user = user;
  }
}

export const refused = (what: string) =>
  new ClientError('UNAUTHENTICATED', `The token ${what}: sign in again, or renew it while it is good.`);
