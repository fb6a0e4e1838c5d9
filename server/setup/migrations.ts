import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Postgrator from 'postgrator';
import { columnName, type Sql } from '../database/connect.ts';
import { isThere } from '../database/sql/there.ts';
import { SetupError } from '../lib/errors.ts';
import type { Server, Side } from './servers.ts';

/** Files that are numbered together, and the table that says which of them were applied. */
export interface Series {
  folder: string;
  table: string;
  /** Before the titles. */
  prefix: string;
}

/** Readback's own files, which come first and know no table of the project, and the project's. */
export type AllSeries = Record<'engine' | 'project', Series>;

/** How far each series is applied; 0: not at all. */
export type Target = Record<keyof AllSeries, number>;

export const seriesIn = (sqlFolder: string, side: Side): AllSeries => ({
  engine: { folder: join(sqlFolder, 'engine', side), table: 'readback.engine_migrations', prefix: 'engine ' },
  project: { folder: join(sqlFolder, side), table: 'readback.migrations', prefix: '' },
});

const NAME = /^(\d+)\.do\.(.+)\.sql$/;

interface File {
  name: string;
  version: number;
  /** For people: `0100 comments`, `engine 0001 readback`. */
  title: string;
}

/** In the order of their numbers. */
function filesOf({ folder, prefix }: Series): File[] {
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).flatMap((name): File[] => {
    const [, number, about] = NAME.exec(name) ?? [];
    return number === undefined ? [] : [{ name, version: Number(number), title: `${prefix}${number} ${about}` }];
  });
  return files.toSorted((a, b) => a.version - b.version);
}

/** The versions that a server has yet to apply. @throws SetupError for one that later ones have overtaken. */
export async function pendingOn({ name, admin }: Server, series: Series): Promise<number[]> {
  const applied = await appliedIn(admin, series);
  const latest = Math.max(0, ...applied);
  const pending = filesOf(series).filter(({ version }) => !applied.has(version));
  const overtaken = pending.filter(({ version }) => version < latest).map(({ title }) => title);
  if (overtaken.length === 0) return pending.map(({ version }) => version);
  throw new SetupError(
    `${name} has applied up to ${series.prefix}${latest}, and never ${overtaken.join(', ')}: give it a number above ${latest}, on both sides.`,
  );
}

/** Its first line says so. */
export function isRehearsed(series: Series, version: number): boolean {
  const file = filesOf(series).find((one) => one.version === version);
  return file !== undefined && readFileSync(join(series.folder, file.name), 'utf8').startsWith('-- rehearse');
}

export const latestIn = (series: Series[]): number =>
  Math.max(0, ...series.flatMap(filesOf).map(({ version }) => version));

/** The texts of the files that were applied, by their numbers. */
export async function appliedTexts(sql: Sql, series: Series): Promise<string[]> {
  const applied = await appliedIn(sql, series);
  const files = filesOf(series).filter(({ version }) => applied.has(version));
  return files.map(({ name }) => readFileSync(join(series.folder, name), 'utf8'));
}

/** The numbers of the files that were applied. */
export async function appliedIn(sql: Sql, { table }: Series): Promise<Set<number>> {
  if (!(await isThere(sql, table))) return new Set();
  const rows = await sql.unsafe<{ version: number }[]>(`select version::int from ${table} where version > 0`);
  return new Set(rows.map(({ version }) => version));
}

/**
 * What applying does, as SQL for whoever may run it: the files that the server has yet to apply, each with its row in the
 * table of versions, in one transaction. Empty where there are none.
 */
export async function scriptOf(server: Server, { engine, project }: AllSeries): Promise<string> {
  const parts = [...(await scriptIn(server, engine)), ...(await scriptIn(server, project))];
  if (parts.length === 0) return '';
  // As in applyFirst.
  return ['begin;', 'set local check_function_bodies = off;', ...parts, 'commit;'].join('\n');
}

async function scriptIn(server: Server, series: Series): Promise<string[]> {
  const pending = new Set(await pendingOn(server, series));
  const files = filesOf(series).filter(({ version }) => pending.has(version));
  if (files.length === 0) return [];
  const { table } = series;
  return [
    'create schema if not exists readback;',
    `create table if not exists ${table} (version bigint primary key, name text, md5 text, run_at timestamptz);`,
    `insert into ${table} (version) values (0) on conflict do nothing;`,
    ...files.flatMap(({ name, version, title }) => {
      const text = readFileSync(join(series.folder, name), 'utf8');
      const about = NAME.exec(name)![2]!.replaceAll("'", "''");
      const md5 = createHash('md5').update(text).digest('hex');
      return [
        `-- ${title}`,
        text.trimEnd(),
        `insert into ${table} (version, name, md5, run_at) values (${version}, '${about}', '${md5}', now());`,
      ];
    }),
  ];
}

/** Applies what is new up to `target`, in the transaction that `sql` is, and returns the titles of the files. */
export async function apply(sql: Sql, { engine, project }: AllSeries, target: Target): Promise<string[]> {
  const isFirst = (await appliedIn(sql, engine)).size === 0;
  return [
    ...(isFirst ? await applyFirst(sql, engine) : []),
    ...(await applyUpTo(sql, engine, target.engine)),
    ...(await applyUpTo(sql, project, target.project)),
  ];
}

/**
 * In PostgreSQL 15 pg_subscription.substream is a boolean, so it would refuse readback.feed_faults() of the replica's
 * 0001, which is released and so not edited any more. 0018 replaces that function before anybody calls it. Later files
 * are checked as usual.
 */
async function applyFirst(sql: Sql, engine: Series): Promise<string[]> {
  await sql`set local check_function_bodies = off`;
  const applied = await applyUpTo(sql, engine, 1);
  await sql`set local check_function_bodies to default`;
  return applied;
}

async function applyUpTo(sql: Sql, series: Series, version: number): Promise<string[]> {
  // Asked for a version below the one it is at, Postgrator would look for a way back.
  const target = Math.max(version, ...(await appliedIn(sql, series)));
  const titles = new Map(filesOf(series).map((file) => [file.version, file.title]));
  const titleOf = ({ version: of }: { version: number }) => titles.get(of)!;
  const migrating = migrator(sql, series);
  let current: string | undefined;
  migrating.on('migration-started', (migration) => (current = titleOf(migration)));
  try {
    return (await migrating.migrate(String(target))).map(titleOf);
  } catch (error) {
    // PostgreSQL does not know the file.
    if (current !== undefined && error instanceof Error) error.message = `${current}: ${error.message}`;
    throw error;
  }
}

function migrator(sql: Sql, { folder, table }: Series): Postgrator {
  return new Postgrator({
    driver: 'pg',
    migrationPattern: join(folder, '*.do.*.sql'),
    schemaTable: table,
    execQuery: async (query) => ({ rows: (await sql.unsafe(query)).map(asNamed) }),
    execSqlScript: async (query) => void (await sql.unsafe(query)),
  });
}

/** Postgrator looks for the columns' own names. */
const asNamed = (row: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(row).map(([name, value]) => [columnName(name), value]));
