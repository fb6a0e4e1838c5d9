import type { Sql, Statement } from '../connect.ts';
import type { Lsn } from '../../lib/lsn.ts';

/** A token that was renewed, or all of a session that was ended. */
export interface EndedToken {
  session: string;
  /** null: all of the session. */
  generation: number | null;
  userId: string;
  /** It is good for so long yet; 0 or less: it is not. */
  graceMs: number;
  /** No such token lasts any longer. */
  keptMs: number;
}

/** What a token that came of another one says, beside what both say. */
export interface Successor {
  /** Of the key that it is signed with. */
  keyId: string;
  seen: Lsn;
  expiresAtMs: number;
}

interface Renewed {
  id: string;
  version: number;
  session: string;
  generation: number;
  /** Of the token that is renewed. */
  expiresAtMs: number;
}

/** On the primary, as readback_reader: what was noted in the last `withinMs`, or all that still matters. */
export function endedTokens(primary: Sql, withinMs: number): Promise<EndedToken[]> {
  return primary<EndedToken[]>`
    select session, generation, user_id, grace_ms, kept_ms from readback.ended_tokens(${Math.min(withinMs, 1e12)})`;
}

/**
 * On the primary, as readback_writer. `renewed`: with what its one successor says, which may have been made before;
 * `reused`: it was renewed too long ago, and its session is over by now; `ended`: it was not good.
 */
export function renewToken(
  primary: Sql,
  { id, version, session, generation, expiresAtMs }: Renewed,
  { keyId, seen, expiresAtMs: until }: Successor,
): Statement<{ outcome: 'renewed' | 'reused' | 'ended' } & Partial<Successor>> {
  return primary`
    select outcome, key_id, seen, expires_ms as expires_at_ms
    from readback.renew_token(${session}, ${generation}, ${id}, ${version}, ${expiresAtMs}, ${keyId}, ${primary.typed.lsn(seen)}, ${until})`;
}

/** On the primary, as readback_writer: what is about tokens that nobody can have any more. */
export async function forgetRenewals(primary: Sql): Promise<void> {
  await primary`select readback.forget_renewals()`;
}
