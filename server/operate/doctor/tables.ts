import type { Sql } from '../../database/connect.ts';
import { feedFaults } from '../../database/sql/change-log.ts';
import type { SubscribedTable, Subscription } from '../../database/sql/subscriptions.ts';
import { SetupError } from '../../lib/errors.ts';
import { startLogAnew, watch } from '../../setup/log-state.ts';
import { MIGRATE, type Drift } from '../../setup/drift.ts';
import { obstacles, type Obstacle } from '../../setup/obstacles.ts';
import { hiddenFrom, type Hidden } from '../../setup/stops.ts';
import { shapesOf, tablesOf, type TableShape } from '../../setup/shapes.ts';
import { completeReachable } from '../attach.ts';
import { kind, type Finding, type Repair } from './finding.ts';
import { hiddenRows } from './publication.ts';
import type { Looked } from './servers.ts';

/** What a replica holds: tables that fit, triggers that log, and nobody else who writes. */
export interface TableFacts {
  /** Tables with the trigger that logs changes, subscribed or not. */
  watched: string[];
  /** Of all tables that are published, subscribed or watched. */
  shapes: TableShape[];
  triggers: Trigger[];
  /** Who besides their owners may write into those tables and into the change log. */
  writers: Writer[];
  /** What row level security hides from the server. */
  hidden: Hidden[];
  /** Set-up has ended: the log says from where on it is complete. */
  isLogReady: boolean;
  /** What the feed itself refuses to go on with. */
  feedFaults: string[];
}

interface Trigger {
  table: string;
  name: string;
  /** As pg_trigger has it; A is ENABLE ALWAYS. */
  enabled: string;
}

interface Writer {
  table: string;
  role: string;
  privileges: string[];
}

interface Subscribed extends TableFacts {
  subscription: Subscription | null;
  subscribed: SubscribedTable[];
  others: string[];
  mayLose: boolean;
}

/** `known` are the tables that are published or subscribed. */
export async function lookAtTables(sql: Sql, known: string[]): Promise<TableFacts> {
  const watched = await watchedTables(sql);
  const tables = [...new Set([...known, ...watched])];
  const [log] = await sql<[{ isReady: boolean }?]>`
    select complete_since < 'FFFFFFFF/FFFFFFFF' as is_ready from readback.log_state`;
  return {
    watched,
    shapes: await shapesOf(sql, tables),
    triggers: await triggersOf(sql, tables),
    writers: await writersInto(sql, [...tables, LOG, 'readback.log_state']),
    hidden: await hiddenFrom(sql, tables, ['readback_reader']),
    isLogReady: log?.isReady ?? false,
    feedFaults: await feedFaults(sql),
  };
}

async function watchedTables(sql: Sql): Promise<string[]> {
  const rows = await sql<{ table: string }[]>`
    select distinct format('%I.%I', n.nspname, c.relname) as table
    from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
    where t.tgfoid = 'readback.log_change'::regproc order by 1`;
  return tablesOf(rows);
}

function triggersOf(sql: Sql, tables: string[]): Promise<Trigger[]> {
  return sql<Trigger[]>`
    select t.name as table, g.tgname::text as name, g.tgenabled::text as enabled
    from jsonb_array_elements_text(${sql.json(tables)}) as t(name)
    join pg_trigger g on g.tgrelid = to_regclass(t.name) and not g.tgisinternal`;
}

/** Superusers may always, and are not listed. Of the log_state the pruner's function writes, as its owner. */
function writersInto(sql: Sql, tables: string[]): Promise<Writer[]> {
  return sql<Writer[]>`
    select t.name as table, case when acl.grantee = 0 then 'public' else acl.grantee::regrole::text end as role,
           json_agg(acl.privilege_type order by 1) as privileges
    from jsonb_array_elements_text(${sql.json(tables)}) as t(name)
    join pg_class c on c.oid = to_regclass(t.name), aclexplode(c.relacl) acl
    where acl.privilege_type in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE') and acl.grantee <> c.relowner
    group by 1, 2 order by 1, 2`;
}

const HEARTBEAT = 'readback.heartbeat';
const LOG = 'readback.change_log';
const WANTED = ['readback_change', 'readback_truncate'];

export function checkTables(
  primary: Looked<{ published: TableShape[]; withoutIdentity: string[]; drifts: Drift[] }>,
  { name, basics, details }: Looked<Subscribed>,
): Finding[] {
  if (!details) return [];
  const { hidden, writers, isLogReady, subscription, feedFaults } = details;
  const isFollowed = primary.details?.drifts.some(({ command }) => command === MIGRATE) ?? false;
  const unwatched = unwatchedTables(details).map((one) => notWatched(name, one));
  // What the feed goes by must not go unsaid. Where what was found explains it, it says the same in other words.
  const isExplained = unwatched.length > 0 || basics?.trackCommitTimestamp !== 'on' || isOtherwiseFaulty(details);
  return [
    ...unfit(primary.details, details.shapes).map((obstacle) => misfit(name, obstacle, isFollowed)),
    ...hidden.map((one) => hiddenRows(name, one)),
    ...unwatched,
    ...(isAlways(details, HEARTBEAT, 'ring') ? [] : [silent(name)]),
    ...(isExplained ? [] : feedFaults.map((fault) => feedFault(name, fault))),
    ...(isLogReady || !subscription ? [] : [notReady(name)]),
    ...writers.map((writer) => (isOurs(writer) ? logWriter(name, writer) : tableWriter(name, writer))),
  ];
}

/** By what is told of the subscription, and of who may write. */
const isOtherwiseFaulty = ({ others, subscription, mayLose, writers }: Subscribed): boolean =>
  others.length > 0 ||
  subscription?.streaming === 'parallel' ||
  (subscription?.commit === 'off' && !mayLose) ||
  writers.some(({ table }) => table === LOG);

/** That the primary sends what nobody could apply is told of the primary. */
function unfit(
  primary: { published: TableShape[]; withoutIdentity: string[] } | undefined,
  shapes: TableShape[],
): Obstacle[] {
  if (!primary) return [];
  const { published, withoutIdentity } = primary;
  return obstacles(published, shapes).filter(({ table, isKeyless }) => !isKeyless || !withoutIdentity.includes(table));
}

interface Unwatched {
  table: string;
  names: string[];
}

function unwatchedTables(details: Subscribed): Unwatched[] {
  const there = new Set(tablesOf(details.shapes));
  return tablesOf(details.subscribed)
    .filter((table) => table !== HEARTBEAT && there.has(table))
    .map((table) => ({ table, names: WANTED.filter((name) => !isAlways(details, table, name)) }))
    .filter(({ names }) => names.length > 0);
}

const isAlways = ({ triggers }: TableFacts, table: string, name: string) =>
  triggers.some((one) => one.table === table && one.name === name && one.enabled === 'A');

const isOurs = ({ table }: Writer) => table.startsWith('readback.');

/** `isFollowed`: the primary's tables were changed by other ways than migrations, which `migrate` follows where it can. */
const misfit = kind('columns-differ', ({ found, remedy }: Obstacle, isFollowed: boolean) => ({
  found,
  expected: 'a table that takes everything that the primary sends of it',
  remedy: isFollowed ? `Run ${MIGRATE}. If it refuses this, on the replica: ${remedy}` : `On the replica: ${remedy}`,
}));

export const watchAgain: Repair = {
  name: 'watch-table',
  does: (table) =>
    `put the triggers on ${table} again and, as its change log has a gap, begin that again: cursors of this replica expire`,
  run: async ({ admin, name }, context, table) => {
    const watched = await watch(admin, table);
    if (watched.length === 0) throw new SetupError(`${name}: ${table} has no primary key to log its rows by.`);
    await startLogAnew(admin);
    await completeReachable(context);
  },
};

const notWatched = kind('trigger', ({ table, names }: Unwatched) => ({
  found: `${names.join(' and ')} of ${table} ${names.length > 1 ? 'are' : 'is'} missing or not ENABLE ALWAYS`,
  expected: 'both triggers, ENABLE ALWAYS: else changes of the table are not logged',
  remedy: `Run readback doctor --fix: it puts them there with readback.watch and begins the change log again, as it has a gap.`,
  fix: watchAgain,
  subject: table,
}));

export const ringAgain: Repair = {
  name: 'ring-always',
  does: () => 'put the trigger of the heartbeat there again',
  run: ({ admin }) =>
    admin.begin((sql) => [
      sql`drop trigger if exists ring on readback.heartbeat`,
      sql`create trigger ring after insert or update on readback.heartbeat for each row execute function readback.ring()`,
      sql`alter table readback.heartbeat enable always trigger ring`,
    ]),
};

const silent = kind('trigger', () => ({
  found: `ring of ${HEARTBEAT} is missing or not ENABLE ALWAYS`,
  expected: 'a heartbeat that rings where it arrives, so that nobody waits longer than needed',
  remedy: `Run there: alter table ${HEARTBEAT} enable always trigger ring;`,
  fix: ringAgain,
}));

const feedFault = kind('log-not-ready', (fault: string) => ({
  found: fault,
  expected: 'a change log that the feed can trust',
  remedy: 'See what was found.',
}));

export const completeLog: Repair = {
  name: 'complete-log',
  does: () => 'wait for its copies to end, and note from where on its change log is complete',
  run: (_, context) => completeReachable(context),
  isOfSubscription: true,
};

const notReady = kind('log-not-ready', () => ({
  found: 'set-up did not end, so the change log does not say from where on it is complete',
  expected: 'readback.log_state.complete_since is set',
  remedy: 'Run readback doctor --fix or readback migrate.',
  fix: completeLog,
}));

const may = ({ privileges }: Writer) => privileges.join(', ').toLowerCase();

const logWriter = kind('log-writers', (writer: Writer) => ({
  found: `${writer.role} may ${may(writer)} on ${writer.table}`,
  expected: 'only the apply worker writes there',
  remedy: `Run there: revoke ${may(writer)} on ${writer.table} from ${writer.role};`,
}));

const tableWriter = kind('table-writers', (writer: Writer) => ({
  severity: 'warning',
  found: `${writer.role} may ${may(writer)} on ${writer.table}`,
  expected: 'nobody but the apply worker writes on a replica',
  remedy: `Run there: revoke ${may(writer)} on ${writer.table} from ${writer.role}; Then readback verify, for what was written.`,
}));
