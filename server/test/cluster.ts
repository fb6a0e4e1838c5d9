import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { readConfig } from '../config.ts';
import { setUp } from '../setup/setup.ts';
import { startEmbeddedServers, type ServerUrls } from '../../infra/cluster/embedded.ts';

declare module 'vitest' {
  interface ProvidedContext {
    cluster: TestCluster;
  }
}

/** One primary and two replicas for the whole run; each test file makes databases of its own on them. */
export interface TestCluster {
  dir: string;
  servers: Record<string, ServerUrls>;
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dir = mkdtempSync(join(tmpdir(), 'readback-test-'));
  const cluster = await startEmbeddedServers({
    dir,
    servers: ['primary', 'replica-1', 'replica-2'].map((name) => ({ name, port: 0 })),
    say: () => {},
    settings: { fsync: 'off', log_line_prefix: '%d|%a|' },
  });
  const { primary, ...replicas } = cluster.servers;
  // Roles belong to the whole cluster: made once, before test files that run side by side could make them at the same time.
  await setUp({ primary: primary!, replicas: Object.values(replicas), replicationUrl: undefined }, readConfig({}), () => {});
  project.provide('cluster', { dir, servers: cluster.servers });
  return async () => {
    await cluster.stop();
    rmSync(dir, { recursive: true, force: true });
  };
}
