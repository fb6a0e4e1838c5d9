import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres, { type Sql } from 'postgres';
import { expect } from 'vitest';
import { addCommand } from '../../cli/add.ts';
import { createLog, serve } from '../../boot/serve.ts';
import type { DatabaseConfig, DatabaseUrls } from '../../boot/config.ts';
import { projectRoot } from '../../lib/root.ts';
import { setUp } from '../../setup/setup.ts';
import { testConfig } from './databases.ts';
import { faults, fixAll } from './doctor.ts';
import { dropSlot, holdApply, slotOf } from './faults.ts';
import type { Managed } from './models.ts';
import { pgBouncer, type PgBouncer } from './pgbouncer.ts';

/** What is done with a primary and a replica that are set up, by the logins of a model. */
const WITHIN = { timeout: 30_000, interval: 20 };
const SOON = { waitMs: 300 };
const quiet = () => {};

/** What a server says that is to give up the slot of a replica which applies nothing. */
export async function givenUp({ config, primary, replica }: Managed): Promise<string> {
  const lines: string[] = [];
  const settings = testConfig({
    LOG_LEVEL: 'error',
    MONITOR_INTERVAL_MS: 50,
    SLOT_WATCH_MS: 100,
    SLOT_WAL_MAX_BYTES: 67_108_864,
    SLOT_ACTION: 'drop',
  });
  const server = await serve(settings, config, createLog(settings, { write: (line) => lines.push(line) }));
  const release = await holdApply(replica);
  try {
    await primary`insert into users (username, email, password_hash) values ('held', 'held@example.com', '-')`;
    await fillWal(primary);
    const said = () => lines.find((line) => /Gave up the slot|cannot be given up/.test(line));
    await expect.poll(said, WITHIN).toBeDefined();
    return said()!;
  } finally {
    await release();
    await server.stop();
  }
}

/** Segments of 16 MiB, mostly empty. */
async function fillWal(primary: Sql): Promise<void> {
  for (let segment = 0; segment < 5; segment++) {
    await primary`select pg_logical_emit_message(true, 'fill', 'x')`;
    await primary`select pg_switch_wal()`;
  }
}

/** As `readback doctor --fix`, with a slot that is gone, or goes now. */
export async function repaired({ config, primary, replica }: Managed): Promise<void> {
  const there = await primary`select from pg_replication_slots where slot_name = ${await slotOf(replica)}`;
  if (there.length > 0) await dropSlot(primary, replica);
  expect(await faults(config, SOON)).toContain('replica-1 slot-missing');
  await fixAll(config, SOON);
}

/** A table with a row, of a login that the administrator has made for the application. */
async function applicationsTable({ config }: Managed): Promise<void> {
  const admin = postgres(config.primary.adminUrl, { max: 1, onnotice: () => {} });
  try {
    const there = await admin`select from pg_roles where rolname = 'application'`;
    if (there.length === 0) await admin.unsafe('create role application; grant application to current_user');
    await admin.begin(async (sql) => {
      await sql`grant create on schema public to application`;
      await sql`set local role application`;
      await sql`create table notes (id uuid primary key default gen_random_uuid(), note text not null)`;
      await sql`insert into notes (note) values ('copied')`;
    });
  } finally {
    await admin.end();
  }
}

/** `readback add` writes into a copy of the project's files, which is enough for `readback migrate`. */
export async function added(
  managed: Managed,
  migrate: (sqlFolder: string) => Promise<void> = (folder) => setUp(managed.config, testConfig(), quiet, folder),
): Promise<void> {
  const { config, primary, replica } = managed;
  await applicationsTable(managed);
  const root = mkdtempSync(join(tmpdir(), 'readback-added-'));
  try {
    for (const name of ['schema', 'sql']) cpSync(join(projectRoot, name), join(root, name), { recursive: true });
    const settings = { ...testConfig(), databases: config };
    await addCommand(['notes'], { without: [], send: [] }, settings, quiet, root);
    await migrate(join(root, 'sql'));
  } finally {
    rmSync(root, { recursive: true });
  }
  await primary`update notes set note = 'changed'`;
  await expect.poll(() => replica`select note from notes`, WITHIN).toEqual([{ note: 'changed' }]);
  const logged = await replica`select operation from readback.change_log where table_name = 'notes'`;
  expect(logged).toEqual([{ operation: 'UPDATE' }]);
}

const POOLED = { writes: 'pool_writes', reads: 'pool_reads' };
const PASSWORD = 'pooled';

/** All three URLs of poolers, for the time of `work`; each is used. */
export async function behindPgBouncer(
  { config, primary, replica }: Managed,
  work: (pooled: DatabaseConfig) => Promise<void>,
): Promise<void> {
  const [one] = config.replicas;
  const poolers = [await poolerOf(config.primary), await poolerOf(one!)] as const;
  const through = (pooler: PgBouncer, { url }: DatabaseUrls, user: string) =>
    pooler.through(url, { user, password: PASSWORD });
  const writes = through(poolers[0], config.primary, POOLED.writes);
  const reads = through(poolers[0], config.primary, POOLED.reads);
  try {
    await work({
      ...config,
      primary: { ...config.primary, pooled: { writes, reads } },
      replicas: [{ ...one!, pooled: { reads: through(poolers[1], one!, POOLED.reads) } }],
    });
    expect(await poolersLogins(primary)).toEqual([POOLED.reads, POOLED.writes]);
    expect(await poolersLogins(replica)).toEqual([POOLED.reads]);
  } finally {
    await Promise.all(poolers.map((pooler) => pooler.remove()));
  }
}

async function poolerOf({ url }: DatabaseUrls): Promise<PgBouncer> {
  const logins = Object.fromEntries(Object.values(POOLED).map((user) => [user, PASSWORD]));
  const pooler = await pgBouncer({ server: url, mode: 'transaction', logins });
  await pooler.start();
  return pooler;
}

/** With sessions in this database. */
async function poolersLogins(sql: Sql): Promise<string[]> {
  const rows = await sql<{ login: string }[]>`
    select distinct usename::text as login from pg_stat_activity
    where datname = current_database() and usename in ${sql(Object.values(POOLED))} order by 1`;
  return rows.map(({ login }) => login);
}
