import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../database/connect.ts';
import { subscriptionOf } from '../database/sql/subscriptions.ts';
import { SetupError } from '../lib/errors.ts';
import type { Say } from '../lib/logger.ts';
import { projectRoot } from '../lib/root.ts';
import { hasRenamed, noteTables } from './drift.ts';
import { follow } from './follow.ts';
import { arrival, beat } from './log-state.ts';
import { refuseMisfits, type ReplicaState } from './misfits.ts';
import { obstacles } from './obstacles.ts';
import { divideVersions } from './divide.ts';
import { partitionChanges } from './partitions.ts';
import { rehearsed } from './rehearsal.ts';
import { apply, isRehearsed, latestIn, pendingOn, seriesIn, type AllSeries, type Target } from './migrations.ts';
import type { Server, Side } from './servers.ts';
import { makeRolesIn, ROLES } from './logins.ts';
import { shapesOf, publishedBy, publishedTables, subscribedOn, tablesOf } from './shapes.ts';

type Files = Record<Side, AllSeries>;

const CATCH_UP_MS = 10_000;
/** Who waits for a lock on a table holds up all who come after: better give way for a moment, and try again. */
const LOCK_TIMEOUT = '2s';
const LOCK_ATTEMPTS = 20;
const LOCK_PAUSE_MS = 500;
const LOCKED = new Set(['55P03', '40P01']);

/** The project's migrations, and in `engine` Readback's own. */
const sqlFolder = join(projectRoot, 'sql');

/**
 * Applies what is new under `folder`, Readback's own first, number by number, so that the apply workers never meet a
 * change that their tables cannot take: of each number all servers' parts are run, compared, and committed by the replicas
 * before the primary. What does not fit is refused, and leaves no trace.
 */
export async function migrate(primary: Server, replicas: Server[], say: Say, folder = sqlFolder): Promise<void> {
  const files = { primary: seriesIn(folder, 'primary'), replica: seriesIn(folder, 'replica') };
  await divideVersions(primary.admin, 'primary');
  for (const replica of replicas) await divideVersions(replica.admin, 'replica');
  const targets = await plan(primary, replicas, files);
  if (targets.length > 1) await rehearse(primary, files.primary);
  for (const target of targets) {
    const step = { primary, replicas, files, target, isLast: target === targets.at(-1) };
    for (const line of await takeStep(step)) say(line);
  }
}

/** Where nothing replicates yet, nothing can break: all at once. The latest is always among them, to be compared. */
async function plan(primary: Server, replicas: Server[], files: Files): Promise<Target[]> {
  const latest = {
    engine: latestIn([files.primary.engine, files.replica.engine]),
    project: latestIn([files.primary.project, files.replica.project]),
  };
  const engine = await allPending(primary, replicas, files, 'engine');
  const project = await allPending(primary, replicas, files, 'project');
  let isReplicating = false;
  for (const replica of replicas) isReplicating ||= (await subscribedOn(replica.admin)).length > 0;
  if (!isReplicating) return [latest];
  return [
    ...engine.map((version) => ({ engine: version, project: 0 })),
    ...project
      .filter((version) => version < latest.project)
      .map((version) => ({ engine: latest.engine, project: version })),
    latest,
  ];
}

/** The numbers that any of the servers has yet to apply, in order. */
async function allPending(
  primary: Server,
  replicas: Server[],
  files: Files,
  series: keyof AllSeries,
): Promise<number[]> {
  const pending = new Set(await pendingOn(primary, files.primary[series]));
  for (const replica of replicas)
    for (const version of await pendingOn(replica, files.replica[series])) pending.add(version);
  return [...pending].toSorted((a, b) => a - b);
}

/**
 * A file that may find rows it cannot go on with is tried before anything is changed, with all that comes before it, and
 * taken back: earlier numbers would be committed by the time that it refuses.
 */
async function rehearse(primary: Server, files: AllSeries): Promise<void> {
  const last = (await pendingOn(primary, files.project)).findLast((version) => isRehearsed(files.project, version));
  if (last === undefined) return;
  const target = { engine: latestIn([files.engine]), project: last };
  await tried(primary, (sql) => applyOn(primary, sql, files, target));
}

const tried = <T>({ admin }: Server, work: (sql: Sql) => Promise<T>): Promise<T> =>
  retryLocked(() =>
    rehearsed(admin, async (sql) => {
      await boundLocks(sql);
      return work(sql);
    }),
  );

/** What all that is new would make of the primary. */
export interface Foretold {
  /** Files that are not applied yet. */
  pending: string[];
  /** Those that would be published, and about how much their rows take. */
  tables: string[];
  size: string;
}

/** Before anything is set up, on the primary alone: done in a transaction, and taken back. @throws SetupError as migrate does. */
export async function tryOn(primary: Server, folder: string): Promise<Foretold> {
  const files = seriesIn(folder, 'primary');
  const target = { engine: latestIn([files.engine]), project: latestIn([files.project]) };
  return tried(primary, async (sql) => {
    await makeRolesIn(sql, ROLES.primary);
    const pending = await applyOn(primary, sql, files, target);
    const tables = (await publishedTables(sql)).filter((table) => !table.startsWith('readback.'));
    return { pending, tables, size: await sizeOf(sql, tables) };
  });
}

async function sizeOf(sql: Sql, tables: string[]): Promise<string> {
  const [row] = await sql<[{ size: string }]>`
    select pg_size_pretty(coalesce(sum(coalesce(
      (select sum(pg_table_size(p.relid)) from pg_partition_tree(t.name::regclass) p), pg_table_size(t.name::regclass))), 0)) as size
    from jsonb_array_elements_text(${sql.json(tables)}) as t(name)`;
  return row.size;
}

interface Step {
  primary: Server;
  replicas: Server[];
  files: Files;
  target: Target;
  isLast: boolean;
}

async function takeStep(step: Step): Promise<string[]> {
  const behind = await findBehind(step);
  if (step.isLast && (await hasRenamed(step.primary.admin))) await awaitFormer(step);
  const servers = [step.primary, ...step.replicas];
  return retryLocked(() => inTransactions(servers, ([primary, ...replicas]) => run(step, primary!, replicas, behind)));
}

/** Replicas that have yet to apply what was sent before this step, and may need what it takes from them. */
async function findBehind({ primary, replicas, files: { replica: files }, target }: Step): Promise<Set<Server>> {
  const behind = new Set<Server>();
  for (const replica of replicas) {
    if (!(await isPending(replica, files, target)) || (await subscribedOn(replica.admin)).length === 0) continue;
    if ((await arrival(replica, await beat(primary), CATCH_UP_MS)) !== 'arrived') behind.add(replica);
  }
  return behind;
}

/**
 * What was sent under former names is to be applied before a replica has the new ones. Its worker is past that, too,
 * where it fails: at the first row that has a new one.
 */
async function awaitFormer({ primary, replicas }: Step): Promise<void> {
  for (const replica of replicas) {
    const before = (await subscriptionOf(replica.admin))?.applyErrors;
    if (before === undefined || (await arrival(replica, await beat(primary), CATCH_UP_MS)) === 'arrived') continue;
    const fails = (await subscriptionOf(replica.admin))?.applyErrors ?? 0;
    if (fails > before) continue;
    throw new SetupError(
      `${replica.name} (${replica.at}): it has yet to apply what the primary sent before something was renamed there: enable its subscription, or wait, and run this again.`,
    );
  }
}

async function isPending(server: Server, files: AllSeries, target: Target): Promise<boolean> {
  for (const series of ['engine', 'project'] as const)
    if ((await pendingOn(server, files[series])).some((version) => version <= target[series])) return true;
  return false;
}

/** A transaction on each; the last one commits first. */
function inTransactions<T>(servers: Server[], work: (open: Sql[]) => Promise<T>, open: Sql[] = []): Promise<T> {
  const [server, ...rest] = servers;
  if (!server) return work(open);
  const begun = server.admin.begin(async (transaction) => {
    const sql = transaction as unknown as Sql; // all that is asked of it are statements
    await boundLocks(sql);
    return inTransactions(rest, work, [...open, sql]);
  });
  return begun as Promise<T>;
}

const boundLocks = (sql: Sql) => sql.unsafe(`set local lock_timeout = '${LOCK_TIMEOUT}'`);

/** What the primary sends that is not of these files is followed with the last of them, and refuses none before. */
async function run(step: Step, primary: Sql, replicas: Sql[], behind: Set<Server>): Promise<string[]> {
  const { files, target, isLast } = step;
  const lines: string[] = [];
  const applyTo = async (server: Server, sql: Sql, series: AllSeries) => {
    for (const title of await applyOn(server, sql, series, target)) lines.push(`${server.name}: applied ${title}`);
  };
  const before = await publishedBy(primary);
  const existing = await shapesOf(primary, tablesOf(before));
  const states: ReplicaState[] = [];
  for (const [index, sql] of replicas.entries()) {
    const server = step.replicas[index]!;
    const subscribed = await subscribedOn(sql);
    const earlier = await shapesOf(sql, subscribed);
    const stood = isLast ? [] : obstacles(before, earlier);
    await applyTo(server, sql, files.replica);
    const isCompared = isLast || subscribed.length > 0;
    if (isCompared) states.push({ name: server.name, sql, subscribed, earlier, stood, isBehind: behind.has(server) });
  }
  await applyTo(step.primary, primary, files.primary);
  if (isLast) {
    for (const state of states) {
      const followed = await follow(primary, before, state.sql, state.subscribed);
      // Where it has followed it cannot be behind: what it has yet to apply fits, or is what it stood still at.
      state.isBehind &&= followed.length === 0;
      lines.push(...followed.map((line) => `${state.name}: ${line}`));
      // A column that a file has added without it may be one that is logged in another way.
      await state.sql`select readback.watch_again()`;
    }
    await noteTables(primary);
    await partitionChanges(primary);
  }
  await refuseMisfits(named(target), { sql: primary, before, existing }, states);
  return lines;
}

async function applyOn({ name, at }: Server, sql: Sql, files: AllSeries, target: Target): Promise<string[]> {
  try {
    return await apply(sql, files, target);
  } catch (cause) {
    throw new SetupError(
      `${name} (${at}): its tables could not be brought up to date, and nothing was changed: ${explained(cause as Error)}`,
      { cause },
    );
  }
}

const named = ({ engine, project }: Target) => (project > 0 ? String(project) : `engine ${engine}`);

/** Readers, writers and the apply worker hold their locks for a moment each; only who holds on is in the way for good. */
async function retryLocked<T>(attempt: () => Promise<T>): Promise<T> {
  for (let left = LOCK_ATTEMPTS; ; left--) {
    try {
      return await attempt();
    } catch (error) {
      const { code, cause } = error as { code?: string; cause?: { code?: string } };
      if (left === 0 || !LOCKED.has(code ?? cause?.code ?? '')) throw error;
      await sleep(LOCK_PAUSE_MS);
    }
  }
}

const DUPLICATE_TABLE = '42P07';

/** Of a file that was edited Postgrator names the number alone. */
function explained({ message, code }: Error & { code?: string }): string {
  if (message.startsWith('MD5 checksum failed'))
    return `${message}. Its SQL file was edited after it had been applied: put it back as it was, and make the change in a new file.`;
  return code === DUPLICATE_TABLE
    ? `${message}. On a replica rename or drop it, as its rows are copied again; on the primary write create table if not exists in that file.`
    : message;
}
