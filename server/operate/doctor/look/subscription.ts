import { connect, type Sql } from '../../../database/connect.ts';
import { parse, toUrl, type Conninfo } from '../../../setup/conninfo.ts';
import type { Conflicts, SubscriptionFacts } from '../facts.ts';

interface SubscriptionRow {
  isEnabled: boolean;
  streaming: string;
  commit: string;
  twoPhase: boolean;
  binary: boolean;
  origin: string | null;
  slot: string | null;
  publications: string[];
  stats: Record<string, unknown> | null;
}

export async function lookAtSubscription(sql: Sql, timeoutMs: number): Promise<SubscriptionFacts | null> {
  const [row] = await sql<SubscriptionRow[]>`
    select s.subenabled as is_enabled, s.substream::text as streaming, s.subsynccommit as commit,
           s.subtwophasestate <> 'd' as two_phase, s.subbinary as binary, to_jsonb(s) ->> 'suborigin' as origin, s.subslotname::text as slot,
           to_json(s.subpublications) as publications, to_jsonb(t) as stats
    from pg_subscription s left join pg_stat_subscription_stats t on t.subid = s.oid
    where s.subname = 'readback' and s.subdbid = (select oid from pg_database where datname = current_database())`;
  if (!row) return null;
  const { stats, ...rest } = row;
  return { ...rest, conflicts: conflictsIn(stats ?? {}), ...(await connectionOf(sql, timeoutMs)) };
}

export async function otherSubscriptions(sql: Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select subname::text as name from pg_subscription
    where subname <> 'readback' and subdbid = (select oid from pg_database where datname = current_database())`;
  return rows.map(({ name }) => name);
}

/** PostgreSQL 18 counts them by kind; before, there is nothing. */
function conflictsIn(stats: Record<string, unknown>): Conflicts {
  const counts = Object.entries(stats).filter(([name, count]) => name.startsWith('confl_') && Number(count) > 0);
  return Object.fromEntries(counts.map(([name, count]) => [name.slice('confl_'.length), Number(count)]));
}

type Connection = Pick<SubscriptionFacts, 'connectsAs' | 'refused'>;

async function connectionOf(sql: Sql, timeoutMs: number): Promise<Connection> {
  const conninfo = await readConninfo(sql);
  if (!conninfo) return { connectsAs: null, refused: null };
  const { user = '', host = '', port = '5432' } = conninfo;
  return { connectsAs: { user, address: `${host}:${port}` }, refused: await refusal(conninfo, timeoutMs) };
}

/** It holds a password, so superusers alone may read it. */
async function readConninfo(sql: Sql): Promise<Conninfo | undefined> {
  try {
    const [row] = await sql<[{ conninfo: string }?]>`
      select subconninfo as conninfo from pg_subscription
      where subname = 'readback' and subdbid = (select oid from pg_database where datname = current_database())`;
    return row && parse(row.conninfo);
  } catch (error) {
    if ((error as { code?: string }).code !== '42501') throw error;
    return undefined;
  }
}

/**
 * The same connection, made from here: an address may lead elsewhere from the replica, but a password that is wrong or a
 * login that is gone is so from everywhere.
 */
async function refusal(conninfo: Conninfo, timeoutMs: number): Promise<string | null> {
  const sql = connect(toUrl(conninfo), { max: 1, connectTimeoutMs: timeoutMs, applicationName: 'readback doctor' });
  try {
    const [row] = await sql<[{ may: boolean }]>`
      select rolreplication or rolsuper as may from pg_roles where rolname = session_user`;
    return row.may ? null : 'the login may connect, and not replicate';
  } catch (error) {
    return (error as Error).message || (error as { code?: string }).code || 'no reason given';
  } finally {
    await sql.end({ timeout: 1 });
  }
}
