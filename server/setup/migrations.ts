import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Postgrator from 'postgrator';
import { columnName, type Sql } from '../database/connect.ts';
import { SetupError } from '../lib/errors.ts';
import type { Server } from './servers.ts';

/** Which files a server takes: its folder under sql/. */
export type Side = 'primary' | 'replica';

const NAME = /^(\d+)\.do\.(.+)\.sql$/;

interface File {
  version: number;
  /** For people: `0003 posts`. */
  title: string;
}

function filesOf(folder: string): File[] {
  return readdirSync(folder).flatMap((file) => {
    const [, number, name] = NAME.exec(file) ?? [];
    return number === undefined ? [] : [{ version: Number(number), title: `${number} ${name}` }];
  });
}

/** The versions that a server has yet to apply. @throws SetupError for one that later ones have overtaken. */
export async function pendingOn({ name, admin }: Server, folder: string): Promise<number[]> {
  const applied = await appliedIn(admin);
  const latest = Math.max(0, ...applied);
  const pending = filesOf(folder).filter(({ version }) => !applied.has(version));
  const overtaken = pending.filter(({ version }) => version < latest).map(({ title }) => title);
  if (overtaken.length === 0) return pending.map(({ version }) => version);
  throw new SetupError(
    `${name} has applied up to ${latest}, and never ${overtaken.join(', ')}: give it a number above ${latest}, on both sides.`,
  );
}

/** Its first line says so. */
export function isRehearsed(folder: string, version: number): boolean {
  const name = readdirSync(folder).find((file) => Number(NAME.exec(file)?.[1]) === version);
  return name !== undefined && readFileSync(join(folder, name), 'utf8').startsWith('-- rehearse');
}

export const latestIn = (folders: string[]): number =>
  Math.max(0, ...folders.flatMap(filesOf).map(({ version }) => version));

async function appliedIn(sql: Sql): Promise<Set<number>> {
  const [table] = await sql<[{ exists: boolean }]>`select to_regclass('readback.migrations') is not null as exists`;
  if (!table.exists) return new Set();
  const rows = await sql<{ version: number }[]>`select version::int from readback.migrations where version > 0`;
  return new Set(rows.map(({ version }) => version));
}

/** Applies what is new up to `version`, in the transaction that `sql` is, and returns the titles of the files. */
export async function apply(sql: Sql, folder: string, version: number): Promise<string[]> {
  const before = await appliedIn(sql);
  // Asked for a version below the one it is at, Postgrator would look for a way back.
  const target = Math.max(version, ...before);
  const first = before.size === 0 ? await applyFirst(sql, folder) : [];
  const applied = [...first, ...(await migrator(sql, folder).migrate(String(target)))];
  const titles = new Map(filesOf(folder).map((file) => [file.version, file.title]));
  return applied.map((migration) => titles.get(migration.version)!);
}

/**
 * In PostgreSQL 15 pg_subscription.substream is a boolean, so it would refuse readback.feed_faults() of the replica's
 * 0001, which is released and so not edited any more. 0018 replaces that function before anybody calls it. Later files
 * are checked as usual.
 */
async function applyFirst(sql: Sql, folder: string): Promise<Postgrator.Migration[]> {
  await sql`set local check_function_bodies = off`;
  const applied = await migrator(sql, folder).migrate('1');
  await sql`set local check_function_bodies to default`;
  return applied;
}

function migrator(sql: Sql, folder: string): Postgrator {
  return new Postgrator({
    driver: 'pg',
    migrationPattern: join(folder, '*.do.*.sql'),
    schemaTable: 'readback.migrations',
    execQuery: async (query) => ({ rows: (await sql.unsafe(query)).map(asNamed) }),
    execSqlScript: async (query) => void (await sql.unsafe(query)),
  });
}

/** Postgrator looks for the columns' own names. */
const asNamed = (row: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(row).map(([name, value]) => [columnName(name), value]));
