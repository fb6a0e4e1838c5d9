import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import type { DatabaseConfig, DatabaseUrls } from '../../../server/boot/config.ts';
import { projectRoot } from '../../../server/lib/root.ts';
import { findHome } from '../../cluster/binaries.ts';
import { startEmbeddedServers, type EmbeddedServers } from '../../cluster/embedded.ts';

export type Major = 15 | 16 | 17 | 18;

/** A process is started for each command. */
export const SLOW = { timeout: 120_000 };

export const homeOf = (major: Major) =>
  major === 18 ? findHome() : join(projectRoot, `infra/versions/node_modules/postgres-${major}`);

export const isHere = existsSync(homeOf(15));
if (!isHere)
  console.warn(
    `Skipped: earlier versions of PostgreSQL come for linux-x64 alone, this is ${process.platform}-${process.arch}.`,
  );

const dir = mkdtempSync(join(tmpdir(), 'readback-versions-'));
const clusters = new Map<Major, Promise<EmbeddedServers>>();

/** A primary and two replicas of one version, started once. */
export function cluster(major: Major): Promise<EmbeddedServers> {
  const servers = ['primary', 'replica-1', 'replica-2'].map((name) => ({ name, port: 0 }));
  const settings = { fsync: 'off', wal_retrieve_retry_interval: '200ms' };
  const start = () =>
    startEmbeddedServers({ dir: join(dir, String(major)), servers, say: () => {}, settings, home: homeOf(major) });
  if (!clusters.has(major)) clusters.set(major, start());
  return clusters.get(major)!;
}

export async function stopClusters(): Promise<void> {
  for (const started of clusters.values()) await (await started).stop();
  rmSync(dir, { recursive: true, force: true });
}

/** As superuser. */
export async function run<Row extends object>({ adminUrl }: DatabaseUrls, statements: string): Promise<Row[]> {
  const sql = postgres(adminUrl, { max: 1, onnotice: () => {} });
  try {
    return await sql.unsafe<Row[]>(statements);
  } finally {
    await sql.end();
  }
}

/** An empty database on a server. */
export async function database({ url, adminUrl }: DatabaseUrls, name: string): Promise<DatabaseUrls> {
  await run({ url, adminUrl }, `create database ${name}`);
  const on = (text: string) => Object.assign(new URL(text), { pathname: `/${name}` }).href;
  return { url: on(url), adminUrl: on(adminUrl) };
}

/** What the command itself says, with these databases. It ends with 0. */
export function readback({ primary, replicas }: DatabaseConfig, ...args: string[]): Promise<string> {
  const { PATH = '', HOME = '' } = process.env;
  const env = {
    PATH,
    HOME,
    PRIMARY_URL: primary.url,
    PRIMARY_ADMIN_URL: primary.adminUrl,
    REPLICA_URLS: replicas.map(({ url }) => url).join(','),
    REPLICA_ADMIN_URLS: replicas.map(({ adminUrl }) => adminUrl).join(','),
  };
  const program = [join(projectRoot, 'dist/readback/main.js'), ...args];
  return new Promise((resolve, reject) => {
    const child = execFile(process.execPath, program, { env, cwd: dir }, (error, out, err) => {
      if (error) reject(new Error(`readback ${args.join(' ')} ended with ${error.code ?? error.signal}: ${out}${err}`));
      else resolve(out + err);
    });
    child.stdin?.end();
  });
}
