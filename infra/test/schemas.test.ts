import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type postgres from 'postgres';
import { expect, onTestFinished, test } from 'vitest';
import { PUBLIC_SCHEMAS } from '../schemas/list.ts';
import { isThere, load } from '../schemas/load.ts';
import { fill } from '../schemas/rows.ts';
import { Trial } from '../schemas/trial.ts';
import { tablesOf } from '../../server/cli/add/catalog.ts';
import type { Sql } from '../../server/database/connect.ts';
import type { Declaration } from '../../server/declare/declaration.ts';
import { setUp } from '../../server/setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from '../../server/test/support/databases.ts';
import { projectCopy, run, serve, writeFiles } from '../../server/test/support/project-copy.ts';

/** Where the schemas are, in folders such as lerocha+chinook-database. */
const FOLDER = process.env['SCHEMAS'];

const PROJECT = `import 'reflect-metadata';
import type { Project } from '../server/graphql/schema/project.ts';

export const project: Project = { tables: [] };
`;

/** Nothing of the example's. */
async function emptyProject(): Promise<string> {
  const root = await projectCopy();
  for (const folder of ['schema/tables', 'sql/primary', 'sql/replica'])
    for (const name of readdirSync(join(root, folder))) rmSync(join(root, folder, name));
  writeFiles(root, { 'schema/project.ts': PROJECT });
  build(root);
  return root;
}

function build(root: string): void {
  expect(run(root, 'tsc', '-p', 'tsconfig.build.json')).toBe('ok');
  expect(run(root, 'node', 'infra/launch/program.mjs')).toBe('ok');
}

/** As npm run codegen and npm run check. */
function check(root: string): void {
  expect(run(root, 'node', 'dist/readback/schema.js')).toBe('ok');
  expect(run(root, 'node', 'infra/documents.mjs')).toBe('ok');
  expect(run(root, 'node', 'infra/check.mjs')).toBe('ok');
}

function addAll(root: string, { config: { primary, replicas } }: TestDatabases, schemas?: readonly string[]): string {
  const env = {
    PATH: process.env['PATH'],
    PRIMARY_URL: primary.url,
    PRIMARY_ADMIN_URL: primary.adminUrl,
    REPLICA_URLS: replicas[0]!.url,
    REPLICA_ADMIN_URLS: replicas[0]!.adminUrl,
  };
  const args = [
    join(root, 'dist/readback/main.js'),
    'add',
    '--all',
    ...(schemas ? ['--schema', schemas.join(',')] : []),
  ];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd: root, env, encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
  return stdout;
}

test.skipIf(FOLDER === undefined).for(PUBLIC_SCHEMAS.map((schema) => [schema.repository, schema] as const))(
  '%s is served as it is',
  { timeout: 1_200_000 },
  async ([name, schema]) => {
    if (!isThere(FOLDER!, schema)) return console.log(`${name}: not in ${FOLDER}`);
    const started = performance.now();
    const databases = await freshDatabases({ settle: false });
    onTestFinished(() => databases.drop());
    const primary = databases.primary as unknown as Sql;
    const unloaded = await onOneConnection(databases, (sql) => load(FOLDER!, schema, sql));
    const found = await tablesOf(primary, schema.schemas ?? null);
    // Also of schemas that are not served, which keys refer to.
    const unfilled = await fill(primary, await tablesOf(primary, null));
    const root = await emptyProject();
    const said = addAll(root, databases, schema.schemas);
    const refused = said.split('\n').filter((line) => line.startsWith('Not taken: '));
    const added = performance.now();
    build(root);
    if (process.env['SCHEMAS_CHECK'] !== undefined) check(root);
    await setUp(databases.config, testConfig(), () => {}, join(root, 'sql'));
    if (schema.rights !== undefined) await databases.primary.unsafe(schema.rights);
    const { url } = await serve(root, databases);
    await import(join(root, 'dist/schema/project.js'));
    const { allTables } = await import(join(root, 'dist/server/declare/declaration.js'));
    const tables = childrenFirst(allTables() as Declaration[], found);
    const trial = new Trial(url, primary);
    onTestFinished(() => trial.end());
    await trial.tables(tables);
    const seconds = (until: number) => ((until - started) / 1000).toFixed(0);
    console.log(
      [
        `${name}: ${tables.length - trial.faults.size} of ${found.length} tables, ${seconds(performance.now())} s (${seconds(added)} s until added)`,
        ...unloaded.slice(0, 5).map((line) => `  not loaded: ${line}`),
        ...(unloaded.length > 5 ? [`  not loaded: ${unloaded.length - 5} more`] : []),
        ...refused.map((line) => `  ${line}`),
        ...unfilled.map((line) => `  no row: ${line}`),
        ...trial.uncreated.map((line) => `  refused by the database: ${line}`),
        ...[...trial.faults].map(([table, fault]) => `  FAULT: ${table}: ${fault}`),
      ].join('\n'),
    );
    expect([...trial.faults]).toEqual([]);
  },
);

/** A script's settings hold for what follows. */
async function onOneConnection<T>(
  { primary }: TestDatabases,
  work: (sql: postgres.ReservedSql) => Promise<T>,
): Promise<T> {
  const reserved = await primary.reserve();
  try {
    return await work(reserved);
  } finally {
    reserved.release();
  }
}

/** A row that is made again must find those that it names. */
function childrenFirst(tables: readonly Declaration[], found: Awaited<ReturnType<typeof tablesOf>>): Declaration[] {
  const left = new Map(tables.map((table) => [table.name, table]));
  const ordered: Declaration[] = [];
  while (left.size > 0) {
    const isNamed = (name: string) =>
      found.some(
        ({ table, references }) => table !== name && left.has(table) && references.some((to) => to.table === name),
      );
    const next = [...left.values()].find(({ name }) => !isNamed(name)) ?? [...left.values()][0]!;
    left.delete(next.name);
    ordered.push(next);
  }
  return ordered;
}
