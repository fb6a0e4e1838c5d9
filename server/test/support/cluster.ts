import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { inject } from 'vitest';
import type { TestProject } from 'vitest/node';
import { startEmbeddedServers, type EmbeddedServers, type ServerUrls } from '../../../infra/cluster/embedded.ts';
import { connect } from '../../database/connect.ts';
import { allowLogin } from '../../setup/logins.ts';
import { migrate } from '../../setup/migrate.ts';
import type { Server } from '../../setup/servers.ts';
import { folderOnDisk, quickFolder, removeLeftOver } from './folder.ts';

declare module 'vitest' {
  interface ProvidedContext {
    cluster: TestCluster;
    /** A folder of such servers that are stopped: each of them is started from a copy. */
    made: string;
  }
}

/** One primary and two replicas. */
export interface TestCluster {
  dir: string;
  servers: Record<string, ServerUrls>;
}

export interface OwnCluster extends TestCluster {
  control: EmbeddedServers;
  stop: () => Promise<void>;
}

/**
 * All tables are copied at once: the apply worker starts the copy of one that has to wait a second later. A lost stream is
 * resumed soon.
 */
const QUICK = { fsync: 'off', max_sync_workers_per_subscription: '8', wal_retrieve_retry_interval: '200ms' };

/** Servers of one's own, for tests that stop them; with settings of their own, such as `fsync: 'on'`. */
export const startCluster = (settings: Record<string, string> = {}) => startCopy(inject('made'), settings);

async function startCopy(made: string, settings: Record<string, string> = {}): Promise<OwnCluster> {
  const dir = settings['fsync'] === 'on' ? folderOnDisk() : quickFolder();
  execFileSync('cp', ['-a', `${made}/.`, dir]);
  const control = await start(dir, settings);
  const stop = async () => {
    await control.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  return { dir, servers: control.servers, control, stop };
}

const start = (dir: string, settings: Record<string, string> = {}): Promise<EmbeddedServers> =>
  startEmbeddedServers({
    dir,
    servers: ['primary', 'replica-1', 'replica-2'].map((name) => ({ name, port: 0 })),
    say: () => {},
    settings: { ...QUICK, log_line_prefix: '%d|%a|', ...settings },
  });

/** The database that freshDatabases copies: all migrations are applied in it, and nothing replicates. */
export const TEMPLATE = 'readback_template';

/** Roles belong to a whole server: made here, once, before test files that run side by side make them at the same time. */
async function makeTemplate(servers: Record<string, ServerUrls>): Promise<void> {
  const made = await Promise.all(Object.entries(servers).map(([name, { adminUrl }]) => makeDatabase(name, adminUrl)));
  const [primary, ...replicas] = made;
  await migrate(primary!, replicas, () => {});
  await allowLogin(primary!, servers['primary']!.url, ['readback_writer', 'readback_reader', 'readback_pruner']);
  for (const replica of replicas)
    await allowLogin(replica, servers[replica.name]!.url, ['readback_reader', 'readback_pruner']);
  await Promise.all(made.map(({ admin }) => admin.end()));
}

async function makeDatabase(name: string, adminUrl: string): Promise<Server> {
  const open = (url: string) => connect(url, { max: 1, connectTimeoutMs: 10_000, applicationName: 'readback tests' });
  const server = open(adminUrl);
  await server.unsafe(`create database ${TEMPLATE}`);
  await server.end();
  return { name, at: name, admin: open(new URL(TEMPLATE, adminUrl).href) };
}

/** Made once for all clusters of the run, as initdb and the migrations take longer than all the rest of a start. */
async function make(): Promise<string> {
  const dir = quickFolder();
  const control = await start(dir);
  try {
    await makeTemplate(control.servers);
  } finally {
    await control.stop();
  }
  return dir;
}

/** The cluster that all test files share; each makes databases of its own on it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  removeLeftOver();
  const made = await make();
  const { dir, servers, stop } = await startCopy(made);
  project.provide('made', made);
  project.provide('cluster', { dir, servers });
  return async () => {
    await stop();
    rmSync(made, { recursive: true, force: true });
  };
}
