import type { Sql } from '../connect.ts';
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

/** A token that is to be renewed. */
export interface Renewed {
  id: string;
  version: number;
  session: string;
  generation: number;
  /** Of the token that is renewed. */
  expiresAtMs: number;
}

/**
 * `renewed`: with what the token's one successor says, which may have been made before; `reused`: it was renewed too long
 * ago, and its session is over by now; `ended`: it was not good.
 */
export type Renewal = { outcome: 'renewed' | 'reused' | 'ended' } & Partial<Successor>;

/** On the primary, as readback_reader: what was noted in the last `withinMs`, or all that still matters. */
export function endedTokens(primary: Sql, withinMs: number): Promise<EndedToken[]> {
  return primary<EndedToken[]>`
    select session, generation, user_id, grace_ms, kept_ms from readback.ended_tokens(${Math.min(withinMs, 1e12)})`;
}

/** On the primary, as readback_writer: what is about tokens that nobody can have any more. */
export async function forgetRenewals(primary: Sql): Promise<void> {
  await primary`select readback.forget_renewals()`;
}
