import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sql } from '../database/connect.ts';
import { SetupError } from '../lib/errors.ts';
import type { Say } from '../lib/logger.ts';
import { projectRoot } from '../lib/root.ts';
import { arrival, beat } from './log-state.ts';
import { refuseMisfits } from './misfits.ts';
import { apply, isRehearsed, latestIn, pendingOn, type Side } from './migrations.ts';
import type { Server } from './servers.ts';
import { shapesOf, publishedBy, subscribedOn } from './shapes.ts';

type Folders = Record<Side, string>;

const CATCH_UP_MS = 10_000;
/** Who waits for a lock on a table holds up all who come after: better give way for a moment, and try again. */
const LOCK_TIMEOUT = '2s';
const LOCK_ATTEMPTS = 20;
const LOCK_PAUSE_MS = 500;
const LOCKED = new Set(['55P03', '40P01']);

/** The project's migrations. */
const sqlFolder = join(projectRoot, 'sql');

/**
 * Applies what is new under `folder`, number by number, so that the apply workers never meet a change that their tables
 * cannot take: of each number all servers' parts are run, compared, and committed by the replicas before the primary.
 * What does not fit is refused, and leaves no trace.
 */
export async function migrate(primary: Server, replicas: Server[], say: Say, folder = sqlFolder): Promise<void> {
  const folders = { primary: join(folder, 'primary'), replica: join(folder, 'replica') };
  const versions = await plan(primary, replicas, folders);
  if (versions.length > 1) await rehearse(primary, folders.primary);
  for (const version of versions) {
    const step = { primary, replicas, folders, version, isLast: version === versions.at(-1) };
    for (const line of await takeStep(step)) say(line);
  }
}

/** Where nothing replicates yet, nothing can break: all at once. The latest is always among them, to be compared. */
async function plan(primary: Server, replicas: Server[], folders: Folders): Promise<number[]> {
  const pending = new Set(await pendingOn(primary, folders.primary)).add(latestIn(Object.values(folders)));
  let isReplicating = false;
  for (const replica of replicas) {
    for (const version of await pendingOn(replica, folders.replica)) pending.add(version);
    isReplicating ||= (await subscribedOn(replica.admin)).length > 0;
  }
  const sorted = [...pending].toSorted((a, b) => a - b);
  return isReplicating ? sorted : sorted.slice(-1);
}

/**
 * A file that may find rows it cannot go on with is tried before anything is changed, with all that comes before it, and
 * taken back: earlier numbers would be committed by the time that it refuses.
 */
async function rehearse(primary: Server, folder: string): Promise<void> {
  const last = (await pendingOn(primary, folder)).findLast((version) => isRehearsed(folder, version));
  if (last === undefined) return;
  const undone = new Error('a rehearsal');
  const rehearsal = () =>
    inTransactions([primary], async ([sql]) => {
      await applyOn(primary, sql!, folder, last);
      throw undone;
    });
  await retryLocked(rehearsal).catch((error: unknown) => {
    if (error !== undone) throw error;
  });
}

interface Step {
  primary: Server;
  replicas: Server[];
  folders: Folders;
  version: number;
  isLast: boolean;
}

async function takeStep(step: Step): Promise<string[]> {
  const behind = await findBehind(step);
  const servers = [step.primary, ...step.replicas];
  return retryLocked(() => inTransactions(servers, ([primary, ...replicas]) => run(step, primary!, replicas, behind)));
}

/** Replicas that have yet to apply what was sent before this step, and may need what it takes from them. */
async function findBehind({ primary, replicas, folders, version }: Step): Promise<Set<Server>> {
  const behind = new Set<Server>();
  for (const replica of replicas) {
    const isChanged = (await pendingOn(replica, folders.replica)).some((pending) => pending <= version);
    if (!isChanged || (await subscribedOn(replica.admin)).length === 0) continue;
    if ((await arrival(replica, await beat(primary), CATCH_UP_MS)) !== 'arrived') behind.add(replica);
  }
  return behind;
}

/** A transaction on each; the last one commits first. */
function inTransactions<T>(servers: Server[], work: (open: Sql[]) => Promise<T>, open: Sql[] = []): Promise<T> {
  const [server, ...rest] = servers;
  if (!server) return work(open);
  const begun = server.admin.begin(async (transaction) => {
    const sql = transaction as unknown as Sql; // all that is asked of it are statements
    await sql.unsafe(`set local lock_timeout = '${LOCK_TIMEOUT}'`);
    return inTransactions(rest, work, [...open, sql]);
  });
  return begun as Promise<T>;
}

async function run(step: Step, primary: Sql, replicas: Sql[], behind: Set<Server>): Promise<string[]> {
  const { folders, version, isLast } = step;
  const lines: string[] = [];
  const applyTo = async (server: Server, sql: Sql, folder: string) => {
    for (const title of await applyOn(server, sql, folder, version)) lines.push(`${server.name}: applied ${title}`);
  };
  const states = [];
  for (const [index, sql] of replicas.entries()) {
    const server = step.replicas[index]!;
    const subscribed = await subscribedOn(sql);
    const earlier = await shapesOf(sql, subscribed);
    await applyTo(server, sql, folders.replica);
    const isCompared = isLast || subscribed.length > 0;
    if (isCompared) states.push({ name: server.name, sql, subscribed, earlier, isBehind: behind.has(server) });
  }
  const before = await publishedBy(primary);
  const existing = await shapesOf(
    primary,
    before.map(({ table }) => table),
  );
  await applyTo(step.primary, primary, folders.primary);
  await refuseMisfits(version, { sql: primary, before, existing }, states);
  return lines;
}

async function applyOn({ name, at }: Server, sql: Sql, folder: string, version: number): Promise<string[]> {
  try {
    return await apply(sql, folder, version);
  } catch (cause) {
    throw new SetupError(
      `${name} (${at}): its tables could not be brought up to date, and nothing was changed: ${explained((cause as Error).message)}`,
      { cause },
    );
  }
}

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

/** Postgrator names the number alone. */
const explained = (message: string) =>
  message.startsWith('MD5 checksum failed')
    ? `${message}. Its SQL file was edited after it had been applied: put it back as it was, and make the change in a new file.`
    : message;
