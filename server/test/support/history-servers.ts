import { startCluster, type OwnCluster } from './cluster.ts';
import { freshDatabases, type TestDatabases } from './databases.ts';
import { manage, type Model } from './models.ts';
import { ownServers } from './standby.ts';

/**
 * A primary and two replicas of a history's own, with databases that a superuser sets up; or such where that is done by
 * the logins of a model, and nothing is made yet.
 */
export async function historyServers(
  model: Model | undefined,
  fsync: string,
): Promise<{ cluster: OwnCluster; databases: TestDatabases }> {
  if (model === undefined) {
    const cluster = await startCluster({ fsync });
    return { cluster, databases: await freshDatabases({ replicas: 2, cluster }) };
  }
  const settings = { fsync, max_sync_workers_per_subscription: '8' };
  const servers = await ownServers(['primary', 'replica-1', 'replica-2'], settings);
  const { database: name, config, primary, replicas, end } = await manage(servers, model);
  const statements = () => () => {
    throw new Error('The logs of these servers do not say in which database a statement was.');
  };
  return {
    cluster: { dir: servers.dir, servers: servers.servers, control: servers, stop: servers.end },
    databases: { name, config, primary, replicas, statements, drop: end },
  };
}
