import { afterAll, beforeAll } from 'vitest';
import { acceptance, type System } from './support/acceptance.ts';
import { startCluster, type OwnCluster } from './support/cluster.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { killServer } from './support/faults.ts';
import { addUser, PASSWORD, startProtected } from './support/people.ts';
import type { TestServer } from './support/server.ts';

/** On embedded servers; infra/test/containers.test.ts has the same on containers. */
let cluster: OwnCluster;
let databases: TestDatabases;
let servers: TestServer[];
let system: System;

beforeAll(async () => {
  cluster = await startCluster();
  databases = await freshDatabases({ cluster, replicas: 2 });
  servers = [await startProtected({}, databases), await startProtected({}, databases)];
  const { username } = await addUser({ databases }, true);
  const urls = servers.map(({ url }) => url);
  system = {
    urls,
    administrator: { login: username, password: PASSWORD },
    stopServer: (index) => servers[index]!.stop(),
    startServer: async (index) => {
      servers[index] = await startProtected({ PORT: Number(new URL(urls[index]!).port) }, databases);
    },
    killReplica: (name) => killServer(cluster, name),
    startReplica: (name) => cluster.control.startServer(name),
  };
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await databases.drop();
  await cluster.stop();
});

acceptance(() => system);
