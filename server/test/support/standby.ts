import { execFileSync } from 'node:child_process';
import { appendFileSync, chownSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import postgres from 'postgres';
import { expect } from 'vitest';
import { startEmbeddedServers, type EmbeddedServers } from '../../../infra/cluster/embedded.ts';
import { exists } from '../../../infra/cluster/processes.ts';
import type { DatabaseConfig } from '../../boot/config.ts';
import { folderOnDisk, quickFolder } from './folder.ts';

/** Servers under names of one's own, in one folder. */
export interface OwnServers extends EmbeddedServers {
  dir: string;
  /** As superuser, to this one server. */
  admin: (name: string) => postgres.Sql;
  end: () => Promise<void>;
}

export async function ownServers(
  names: string[],
  settings: Record<string, string> = {},
  home?: string,
): Promise<OwnServers> {
  const dir = settings['fsync'] === 'on' ? folderOnDisk() : quickFolder();
  const control = await startEmbeddedServers({
    dir,
    servers: names.map((name) => ({ name, port: 0 })),
    say: () => {},
    settings: { fsync: 'off', wal_retrieve_retry_interval: '200ms', ...settings },
    ...(home !== undefined && { home }),
  });
  const admins = new Map<string, postgres.Sql>();
  const admin = (name: string) => {
    const sql =
      admins.get(name) ??
      postgres(control.servers[name]!.adminUrl, { max: 2, backoff: () => 0.05, onnotice: () => {} });
    admins.set(name, sql);
    return sql;
  };
  const end = async () => {
    await Promise.all([...admins.values()].map((sql) => sql.end({ timeout: 1 })));
    await control.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  return { ...control, dir, admin, end };
}

/** Puts the files of one server in the place of another's; both are stopped, or `from` is in backup mode. */
export function copyFiles(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  try {
    execFileSync('cp', ['-a', from, to], { stdio: 'pipe', encoding: 'utf8' });
  } catch (error) {
    // A file that goes while it is copied is not missed: the WAL has what it held.
    const { stderr } = error as { stderr: string };
    if (
      !stderr
        .trim()
        .split('\n')
        .every((line) => line.endsWith('No such file or directory'))
    )
      throw error;
  }
  for (const file of ['postmaster.pid', 'postmaster.opts']) rmSync(join(to, file), { force: true });
}

/** A file in a server's folder, of the user that PostgreSQL runs as. */
export function putFile(folder: string, name: string, text: string): void {
  const { uid, gid } = statSync(folder);
  writeFileSync(join(folder, name), text, { mode: 0o600 });
  chownSync(join(folder, name), uid, gid);
}

export function configure(folder: string, settings: Record<string, string>): void {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
  appendFileSync(join(folder, 'postgresql.auto.conf'), lines.join(''));
}

/** Makes `standby` a hot standby of `primary` that every commit waits for, and that keeps its logical slots. */
export async function followClosely(servers: OwnServers, primary: string, standby: string): Promise<void> {
  const folders = { from: join(servers.dir, primary), to: join(servers.dir, standby) };
  await Promise.all([servers.stopServer(primary), servers.stopServer(standby)]);
  copyFiles(folders.from, folders.to);
  await servers.startServer(primary);
  const sql = servers.admin(primary);
  await sql`select pg_create_physical_replication_slot('standby', true)`;
  const { port, password } = new URL(servers.servers[primary]!.adminUrl);
  configure(folders.to, {
    primary_conninfo: `host=127.0.0.1 port=${port} user=postgres password=${password} dbname=postgres application_name=standby`,
    primary_slot_name: 'standby',
    hot_standby_feedback: 'on',
    sync_replication_slots: 'on',
  });
  putFile(folders.to, 'standby.signal', '');
  await servers.startServer(standby);
  await sql`alter system set synchronous_standby_names = 'standby'`;
  await sql`alter system set synchronized_standby_slots = 'standby'`;
  await sql`select pg_reload_conf()`;
}

/** SIGKILL. Resolves when the server is gone. */
export async function killServer({ dir }: OwnServers, name: string): Promise<void> {
  const pid = Number(readFileSync(join(dir, name, 'postmaster.pid'), 'utf8').split('\n')[0]);
  process.kill(pid, 'SIGKILL');
  await expect.poll(() => exists(pid), { interval: 10 }).toBe(false);
}

/** The same login and database on several servers, in this order. */
export function severalHosts(servers: OwnServers, names: string[]): DatabaseConfig['primary'] {
  const at = names.map((name) => new URL(servers.servers[name]!.url).host).join(',');
  const { url, adminUrl } = servers.servers[names[0]!]!;
  const own = new URL(url).host;
  return { url: url.replace(own, at), adminUrl: adminUrl.replace(own, at) };
}
