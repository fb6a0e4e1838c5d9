import { errors, jwtVerify, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { ClientError } from '../lib/errors.ts';
import { formatLsn, parseLsn, type Lsn } from '../lib/lsn.ts';
import type { SigningKeys } from './keys.ts';

/** What a token says. */
export interface Claims {
  id: string;
  version: number;
  /** The user's row, as it was when the token was made, is there from this position on. */
  seen: Lsn;
  signedInAtMs: number;
  expiresAtMs: number;
}

const ISSUER = 'readback';
const ALGORITHM = 'HS256';
const MOST_KNOWN = 10_000;

const payload = z.object({
  sub: z.string(),
  ver: z.number(),
  pos: z.string(),
  auth_time: z.number(),
  exp: z.number(),
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

  async issue(user: Omit<Claims, 'expiresAtMs'>): Promise<{ token: string; expiresAtMs: number }> {
    const expiresAtMs = Math.min(Date.now() + this.#ttlMs, user.signedInAtMs + this.#sessionMs);
    if (expiresAtMs <= Date.now()) throw refused('cannot be renewed any more');
    const { id: kid, secret } = await this.#keys.current();
    const claims = { ver: user.version, pos: formatLsn(user.seen), auth_time: user.signedInAtMs / 1000 };
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: ALGORITHM, kid })
      .setIssuer(ISSUER)
      .setSubject(user.id)
      .setExpirationTime(expiresAtMs / 1000)
      .sign(secret);
    return { token, expiresAtMs };
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
      const { sub, ver, pos, auth_time, exp } = payload.parse(verified.payload);
      const times = { signedInAtMs: auth_time * 1000, expiresAtMs: exp * 1000 };
      const claims = { id: sub, version: ver, seen: parseLsn(pos), ...times };
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

export const refused = (what: string) =>
  new ClientError('UNAUTHENTICATED', `The token ${what}: sign in again, or renew it while it is good.`);
