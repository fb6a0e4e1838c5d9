import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import postgres from 'postgres';
import { inject } from 'vitest';
import { readConfig, type Config, type DatabaseConfig } from '../../boot/config.ts';
import { TEMPLATE, type TestCluster } from './cluster.ts';
import { setUp } from '../../setup/setup.ts';

/** Fresh databases on the run's servers, set up and replicating. */
export interface TestDatabases {
  name: string;
  config: DatabaseConfig;
  /** As superuser. */
  primary: postgres.Sql;
  replicas: postgres.Sql[];
  /** Statements that a server executed for this database since the call, by its own log. */
  statements: (server: string, application?: RegExp) => () => string[];
  drop: () => Promise<void>;
}

export const testConfig = (overrides: Partial<Config> = {}): Config => ({
  ...readConfig({}),
  PORT: 0,
  LOG_LEVEL: 'silent',
  ...overrides,
});

export interface FreshOptions {
  replicas?: number;
  /** False: left empty. */
  settle?: boolean;
  cluster?: TestCluster;
  /** How a server's database is made, such as `encoding 'LATIN1'`; left out: as the template's. Only where it is not settled. */
  made?: Record<string, string>;
}

export async function freshDatabases({
  replicas = 1,
  settle = true,
  cluster = inject('cluster'),
  made = {},
}: FreshOptions = {}): Promise<TestDatabases> {
  const { servers, dir } = cluster;
  const name = `t${crypto.randomUUID().replaceAll('-', '').slice(0, 16)}`;
  const names = ['primary', ...Array.from({ length: replicas }, (_, index) => `replica-${index + 1}`)];
  const urls = names.map((server) => ({
    url: inDatabase(servers[server]!.url, name),
    adminUrl: inDatabase(servers[server]!.adminUrl, name),
  }));
  const template = settle ? `template ${TEMPLATE} strategy file_copy` : '';
  const create = (server: string) => `create database ${name} ${made[server] ?? template}`;
  await Promise.all(names.map((server) => administer(servers[server]!.adminUrl, (sql) => sql.unsafe(create(server)))));
  const config = { primary: urls[0]!, replicas: urls.slice(1), replicationUrl: undefined };
  if (settle) await setUp(config, testConfig(), () => {});
  const admins = urls.map(({ adminUrl }) => postgres(adminUrl, { max: 4, onnotice: () => {} }));
  await Promise.all(admins.map((sql) => sql.unsafe(`alter database ${name} set log_statement = 'all'`)));
  return {
    name,
    config,
    primary: admins[0]!,
    replicas: admins.slice(1),
    statements: (server, application = /./) => logReader(join(dir, `${server}.log`), name, application),
    drop: () =>
      dropAll(
        admins,
        names.map((server) => servers[server]!.adminUrl),
        name,
      ),
  };
}

function inDatabase(text: string, name: string): string {
  const url = new URL(text);
  url.pathname = `/${name}`;
  return url.href;
}

async function administer(url: string, work: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await work(sql);
  } finally {
    await sql.end();
  }
}

async function dropAll(admins: postgres.Sql[], adminUrls: string[], name: string): Promise<void> {
  await Promise.all(admins.slice(1).map(unsubscribe));
  await Promise.all(admins.map((sql) => sql.end()));
  const remove = `drop database ${name} with (force)`;
  await Promise.all(adminUrls.map((url) => administer(url, (sql) => sql.unsafe(remove))));
}

async function unsubscribe(replica: postgres.Sql): Promise<void> {
  const [subscription] =
    await replica`select from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())`;
  if (subscription) await replica`drop subscription readback`;
}

/** What postgres.js asks of each new connection. */
const DRIVERS_OWN = /from pg_catalog\.pg_type/;

/** PostgreSQL writes a statement to its log before it executes it: what was answered is there. */
function logReader(file: string, database: string, application: RegExp): () => string[] {
  const start = statSync(file).size;
  return () => {
    const entries = readFrom(file, start)
      .replace(/\n\t[ \t]*/g, ' ')
      .split('\n');
    return entries.flatMap((entry) => {
      const [db, app = '', ...rest] = entry.split('|');
      const statement = /^LOG: {2}(?:statement|execute [^:]+): (.*)$/.exec(rest.join('|'))?.[1];
      if (db !== database || !application.test(app) || statement === undefined || DRIVERS_OWN.test(statement))
        return [];
      return [statement.trim()];
    });
  };
}

/** The log of all tests before this one is many megabytes. */
function readFrom(file: string, start: number): string {
  const handle = openSync(file, 'r');
  try {
    const buffer = Buffer.alloc(fstatSync(handle).size - start);
    return buffer.toString('utf8', 0, readSync(handle, buffer, 0, buffer.length, start));
  } finally {
    closeSync(handle);
  }
}
