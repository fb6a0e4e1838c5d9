import type { Sql } from '../database/connect.ts';
import { refusalOf } from '../database/refusal.ts';
import { isPooled } from '../database/session.ts';
import { SetupError } from '../lib/errors.ts';

/** A server as its administrator sees it: a name for people, and a connection that may set it up. */
export interface Server {
  name: string;
  /** Host, port and database. */
  at: string;
  admin: Sql;
}

const IS_POOLER =
  'this is a connection pooler, and set-up needs a session of its own. Name PostgreSQL itself in PRIMARY_URL, REPLICA_URLS and their admin URLs.';

interface Facts {
  version: number;
  walLevel: string;
  trackCommitTimestamp: string;
  superuser: boolean;
  recovering: boolean;
  /** It has Readback's subscription: it is a replica. */
  subscribes: boolean;
  identity: string;
  /** Set-up's lock is a session's. */
  pooled: boolean;
}

/** Asks both sides for everything that replication needs; throws one SetupError that lists all that is missing. */
export async function checkRequirements(primary: Server, replicas: Server[]): Promise<void> {
  const facts = await Promise.all([primary, ...replicas].map(readFacts));
  const problems = facts.flatMap((fact, index) => {
    const server = [primary, ...replicas][index]!;
    const own = index === 0 ? primaryProblems(fact) : replicaProblems(fact, facts[0]!);
    return [...commonProblems(fact), ...own].map((problem) => `${server.name} (${server.at}): ${problem}`);
  });
  if (problems.length > 0) throw new SetupError(problems.join('\n'));
}

async function readFacts({ name, at, admin }: Server): Promise<Facts> {
  try {
    const [facts] = await admin<[Omit<Facts, 'pooled'>]>`
      select current_setting('server_version_num')::int as version, current_setting('wal_level') as wal_level,
             current_setting('track_commit_timestamp') as track_commit_timestamp,
             (select rolsuper from pg_roles where rolname = current_user) as superuser,
             pg_is_in_recovery() as recovering,
             exists (select from pg_subscription join pg_database d on d.oid = subdbid
               where subname = 'readback' and datname = current_database()) as subscribes,
             (select system_identifier from pg_control_system()) || '/' || current_database() as identity`;
    return { ...facts, pooled: await isPooled(admin) };
  } catch (error) {
    if (/unsupported startup parameter/.test((error as Error).message))
      throw new SetupError(`${name} (${at}): ${IS_POOLER}`);
    const refusal = refusalOf(error);
    if (!refusal) throw error;
    throw new SetupError(`${name} (${at}): cannot be used: ${refusal.reason}. ${refusal.remedy}`);
  }
}

function commonProblems(facts: Facts): string[] {
  return [
    ...(facts.version < 150_000
      ? [
          `PostgreSQL 15 or later is needed (column lists, prompt notifications), this is ${describeVersion(facts.version)}. Upgrade it.`,
        ]
      : []),
    ...(facts.superuser
      ? []
      : [
          'the setting-up login must be a superuser. Set PRIMARY_ADMIN_URL or REPLICA_ADMIN_URLS to one; the server itself needs no such login.',
        ]),
    ...(facts.pooled ? [IS_POOLER] : []),
    ...(facts.recovering ? ['this is a physical standby, which cannot be written. Name its primary instead.'] : []),
  ];
}

function primaryProblems(facts: Facts): string[] {
  return [
    ...(facts.walLevel === 'logical'
      ? []
      : [
          `wal_level must be logical, it is ${facts.walLevel}. Run: alter system set wal_level = logical; and restart PostgreSQL.`,
        ]),
    ...(facts.subscribes
      ? [
          'this is a replica: it has the subscription readback. Name the primary; PRIMARY_URL and REPLICA_URLS may be swapped.',
        ]
      : []),
  ];
}

function replicaProblems(facts: Facts, primary: Facts): string[] {
  return [
    ...(facts.trackCommitTimestamp === 'on'
      ? []
      : [
          'track_commit_timestamp must be on: it tells when a change was committed on the primary. Run: alter system set track_commit_timestamp = on; and restart PostgreSQL.',
        ]),
    ...(facts.identity === primary.identity ? ['this is the same database as the primary. Name another server.'] : []),
  ];
}

const describeVersion = (version: number) => `${Math.floor(version / 10_000)}.${version % 10_000}`;
