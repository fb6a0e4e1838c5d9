import type { Sql } from '../../database/connect.ts';
import { parseDatabaseUrl } from '../../lib/database-url.ts';
import {
  basicsOf,
  describeVersion,
  unreachable,
  type Basics,
  type Side,
  type OperatedServer,
} from '../../setup/servers.ts';
import { toSet, type Provider } from '../../setup/providers.ts';
import { RIGHTS, rightsOf, type Plan, type Right, type Rights } from '../../setup/rights.ts';
import { textsOf, unlikeTexts, type Texts } from '../../setup/texts.ts';
import { kind, type Finding } from './finding.ts';

/** Can each server be used at all, and is it what replication needs? */
export interface ServerFacts {
  name: string;
  at: string;
  /** Why it cannot be used; then nothing else is known. */
  unreachable?: string;
  basics?: Basics & Rights & SetUp;
  clock?: Clock;
  texts?: Texts;
  limits?: Limit[];
}

/** What is known of a server, and `details` where it could be looked at in full. */
export type Looked<Details> = ServerFacts & { details?: Details };

interface SetUp {
  /** The schema readback is there, with what the first migration makes. */
  isSetUp: boolean;
}

/** How far its clock is ahead of this machine's, in milliseconds: the truth lies between the two. */
interface Clock {
  least: number;
  most: number;
}

/** Something of which a server has only so many. */
export interface Limit {
  setting: string;
  most: number;
  used: number;
}

/** What every version answers to anybody. */
export async function lookAtServer(server: OperatedServer, side: Side, timeoutMs: number): Promise<ServerFacts> {
  const { name, at, admin } = server;
  const reason = await unreachable(server, timeoutMs);
  if (reason !== undefined) return { name, at, unreachable: reason };
  const [setUp] = await admin<[SetUp]>`
    select exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'readback' and p.proname = ${MARKS[side]}) as is_set_up`;
  const rights = await rightsOf(admin, side, parseDatabaseUrl(server.urls.url).user ?? '');
  const basics = { ...(await basicsOf(admin)), ...rights, ...setUp };
  return { name, at, basics, clock: await clockOf(admin), texts: await textsOf(admin) };
}

/** Made by the first migration of one side, and not of the other. */
const MARKS = { primary: 'slots', replica: 'prune_log' };

const ROUNDS = 3;
/** By this machine's clock, which does not jump meanwhile. */
const now = () => performance.timeOrigin + performance.now();

/** It was read somewhere between question and answer: the quickest round trip tells it best. */
async function clockOf(sql: Sql): Promise<Clock> {
  let best: Clock = { least: -Infinity, most: Infinity };
  for (let round = 0; round < ROUNDS; round++) {
    const asked = now();
    const [{ at }] = await sql<[{ at: number }]>`select extract(epoch from clock_timestamp())::float * 1000 as at`;
    const found = { least: at - now(), most: at - asked };
    if (found.most - found.least < best.most - best.least) best = found;
  }
  return best;
}

/** Of the primary what each replica takes one of; of a replica what a subscription does, and each table while it is copied. */
export function limitsOf(sql: Sql, side: Side): Promise<Limit[]> {
  const counts = {
    primary: () => sql`
      values ('max_replication_slots', (select count(*) from pg_replication_slots)),
             ('max_wal_senders', (select count(*) from pg_stat_replication))`,
    replica: () => sql`
      values ('max_logical_replication_workers', (select count(*) from pg_stat_subscription where pid is not null)),
             ((select name from pg_settings where name in ('max_active_replication_origins', 'max_replication_slots') order by 1 limit 1),
              (select count(*) from pg_replication_origin))`,
  };
  return sql<Limit[]>`
    select setting, current_setting(setting)::int as most, used::int from (${counts[side]()}) as counts(setting, used)`;
}

export function checkServers(primary: Looked<object>, replicas: ServerFacts[], plan: Plan): Finding[] {
  return [
    ...checkOne(primary, 'primary', plan),
    ...replicas.flatMap((replica) => checkOne(replica, 'replica', plan)),
    ...replicas.flatMap((replica) => comparedWith(primary, replica)),
    ...[...(primary.details ? [primary] : []), ...replicas]
      .filter(({ basics }) => basics?.isSetUp === false)
      .map(({ name }) => notSetUp(name)),
  ];
}

function checkOne(
  { name, at, unreachable: reason, basics, limits = [] }: ServerFacts,
  side: Side,
  plan: Plan,
): Finding[] {
  if (reason !== undefined) return [noAnswer(name, at, reason, side)];
  const { version, walLevel, trackCommitTimestamp, isStandby, provider } = basics!;
  if (version < 150_000) return [tooOld(name, version)];
  return [
    ...(side === 'primary' && walLevel !== 'logical' ? [notLogical(name, walLevel, provider)] : []),
    ...(side === 'replica' && trackCommitTimestamp !== 'on' ? [noTimestamps(name, provider)] : []),
    ...(isStandby ? [standby(name)] : []),
    ...RIGHTS.filter(({ of = side, lacks }) => of === side && lacks(basics!, plan)).map((right) =>
      lacking(name, right, basics!, plan),
    ),
    // A table's copy takes one more for its time.
    ...limits.filter(({ most, used }) => used >= most - 1).map((limit) => taken(name, limit, provider)),
  ];
}

const noAnswer = kind('unreachable', (at: string, reason: string, side: Side) => ({
  found: `${at} does not answer: ${reason}`,
  expected: 'a PostgreSQL that accepts the login',
  remedy: `Check that it runs there, the network between, and user and password (${side === 'primary' ? 'PRIMARY_URL, PRIMARY_ADMIN_URL' : 'REPLICA_URLS, REPLICA_ADMIN_URLS'}); the embedded pair is started by: npm start`,
}));

const tooOld = kind('version', (version: number) => ({
  found: `PostgreSQL ${describeVersion(version)}`,
  expected: 'PostgreSQL 15 or later: column lists, and notifications that the apply worker sends at once',
  remedy: 'Upgrade it.',
}));

const notLogical = kind('wal-level', (walLevel: string, provider: Provider | null) => ({
  found: `wal_level = ${walLevel}`,
  expected: 'wal_level = logical',
  remedy: toSet(provider, 'wal_level', 'logical', 'restart'),
}));

const noTimestamps = kind('commit-timestamps', (provider: Provider | null) => ({
  found: 'track_commit_timestamp = off',
  expected: 'track_commit_timestamp = on: it tells when a change was committed on the primary',
  remedy: toSet(provider, 'track_commit_timestamp', 'on', 'restart'),
}));

const standby = kind('standby', () => ({
  found: 'a physical standby, which cannot be written',
  expected: 'a server of its own',
  remedy: 'Name its primary instead.',
}));

const lacking = kind('admin-rights', (right: Right, own: Basics & Rights, plan: Plan) => ({
  severity: 'warning',
  found: right.found(own, plan),
  expected: 'the rights that set-up and this command need (docs/setup.md); the server itself needs none of them',
  remedy: right.remedy(own, plan),
}));

const taken = kind('limit', ({ setting, most, used }: Limit, provider: Provider | null) => ({
  severity: used >= most ? 'error' : 'warning',
  found: `${used} of ${most} that ${setting} allows are taken`,
  expected: 'two left: one for a subscription, one for the copy of a table',
  remedy: toSet(provider, setting, String(Math.max(20, most * 2)), 'restart'),
}));

const notSetUp = kind('not-set-up', () => ({
  found: 'nothing of Readback is in this database',
  expected: 'the schema readback and what set-up makes there',
  remedy: 'Run: readback migrate',
}));

function comparedWith(primary: ServerFacts, { name, basics, clock, texts }: ServerFacts): Finding[] {
  const isSame = basics !== undefined && basics.identity === primary.basics?.identity;
  const skewMs = clock && primary.clock ? skewOf(clock, primary.clock) : 0;
  const unlike = texts && primary.texts ? unlikeTexts(primary.texts, texts) : [];
  return [
    ...(isSame ? [sameDatabase(name)] : []),
    ...(Math.abs(skewMs) > MOST_SKEW_MS ? [skewed(name, skewMs)] : []),
    // Replication works by chance until the first text that differs, or answers do.
    ...unlike.map(({ what, stops, ...words }) =>
      kind(what, () => ({ severity: stops ? 'error' : 'warning', ...words }))(name),
    ),
  ];
}

const MOST_SKEW_MS = 1000;

/** How fast it is, or slow where negative. Only what is certain counts: the way there and back may have taken the rest. */
function skewOf(clock: Clock, primary: Clock): number {
  const [fast, slow] = [clock.least - primary.most, primary.least - clock.most];
  return fast > slow ? Math.max(0, fast) : -Math.max(0, slow);
}

const sameDatabase = kind('same-database', () => ({
  found: 'the same database as the primary',
  expected: 'another server, or another database',
  remedy: 'Correct REPLICA_URLS.',
}));

const skewed = kind('clock-skew', (ms: number) => ({
  severity: 'warning',
  found: `its clock is ${(Math.abs(ms) / 1000).toFixed(1)} s ${ms > 0 ? 'fast' : 'slow'}, measured by the primary's`,
  expected: `clocks that agree to within ${MOST_SKEW_MS / 1000} s: an event's appliedAt is of the one, its committedAt of the other, and lagMs is the difference`,
  remedy:
    'Let both machines take their time from one source, by chrony or systemd-timesyncd: chronyc tracking, run on each, says which of the two is wrong.',
}));
