import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { startEmbeddedServers, type EmbeddedServers, type ServerUrls } from '../../infra/cluster/embedded.ts';
import { readConfig } from '../config.ts';
import { setUp } from '../setup/setup.ts';

declare module 'vitest' {
  interface ProvidedContext {
    cluster: TestCluster;
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

/** Servers of one's own, for tests that stop them; with settings of their own, such as `fsync: 'on'`. */
export async function startCluster(settings: Record<string, string> = {}): Promise<OwnCluster> {
  const dir = mkdtempSync(join(tmpdir(), 'readback-test-'));
  const control = await startEmbeddedServers({
    dir,
    servers: ['primary', 'replica-1', 'replica-2'].map((name) => ({ name, port: 0 })),
    say: () => {},
    settings: { fsync: 'off', log_line_prefix: '%d|%a|', wal_retrieve_retry_interval: '200ms', ...settings },
  });
  const { primary, ...replicas } = control.servers;
  // Roles belong to the whole cluster: made once, before test files that run side by side could make them at the same time.
  await setUp(
    { primary: primary!, replicas: Object.values(replicas), replicationUrl: undefined },
    readConfig({}),
    () => {},
  );
  const stop = async () => {
    await control.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  return { dir, servers: control.servers, control, stop };
}

/** The cluster that all test files share; each makes databases of its own on it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { dir, servers, stop } = await startCluster();
  project.provide('cluster', { dir, servers });
  return stop;
}
