import type { Parts, Servers } from './servers.ts';
import { Listener } from '../database/listener.ts';
import { Feed } from '../feed/feed.ts';
import { Pruner } from '../feed/pruner.ts';
import { Snapshots, VIEWS_MAX } from '../feed/snapshots.ts';
import type { FeedSource } from '../feed/source.ts';
import type { Replica } from '../replication/replica.ts';
import type { ReplicaState, ReplicaView } from '../replication/state.ts';

/** The feed of all replicas' change logs, woken by their notifications. */
export async function startFeed(parts: Parts, servers: Servers): Promise<Feed> {
  const { config, databases, pools, releasers } = parts;
  const { replicas, monitor } = servers;
  const feed = openFeed(parts, servers);
  for (const [index, replica] of replicas.entries()) {
    const name = `listener of ${replica.name}`;
    const { url } = databases.replicas[index]!;
    const listener = new Listener({
      open: (hooks) => pools.connect(url, { role: 'readback_reader', max: 1, name, ...hooks }),
      channel: 'readback',
      rang: () => {
        replica.rang();
        feed.rang();
      },
      heartbeatMs: config.LISTEN_HEARTBEAT_MS,
      complain: pools.complain,
    });
    releasers.add(name, () => listener.stop());
    await listener.start();
  }
  // After LISTEN, so that nothing falls between; and at each round of the monitor, which may have seen a replica change.
  feed.start();
  releasers.add(
    'feed watch',
    monitor.watch(() => feed.rang()),
  );
  return feed;
}

function openFeed(parts: Parts, { primary, replicas }: Servers): Feed {
  const { config, databases, pools, releasers, log } = parts;
  const urlOf = (index: number) => databases.replicas[index]!.url;
  const closed = (name: string) => feed.closed(name);
  const sources = replicas.map((replica, index) => openSource(parts, urlOf(index), replica, closed));
  const feed: Feed = new Feed({
    sources,
    windowChanges: config.FEED_WINDOW_CHANGES,
    settled: () => primary.settled(),
    log,
    complain: pools.complain,
  });
  const pruner = new Pruner({
    logs: replicas.map(({ name }, index) => ({
      name,
      sql: pools.open(urlOf(index), { role: 'readback_pruner', max: 1, name: `pruning of ${name}` }),
    })),
    keepHours: config.CHANGE_LOG_RETENTION_HOURS,
    keepBytes: config.CHANGE_LOG_MAX_BYTES,
    everyMs: config.CHANGE_LOG_PRUNE_MS,
    log,
  });
  pruner.start();
  releasers.add('pruner', () => pruner.stop());
  releasers.add('feed', () => feed.stop());
  return feed;
}

/** The replica's change log, as the feed reads it. */
function openSource(
  { config, pools }: Parts,
  url: string,
  replica: Replica,
  closed: (name: string) => void,
): FeedSource {
  const { name } = replica;
  const open = (max: number, what: string) =>
    pools.open(url, { role: 'readback_reader', max, name: `${what} of ${name}`, closed: () => closed(name) });
  return {
    name,
    reader: open(1, 'feed'),
    replay: open(REPLAY_CONNECTIONS, 'replay'),
    snapshots: new Snapshots(open(VIEWS_MAX, 'snapshots'), config.SNAPSHOT_MAX_MS),
    fitness: () => (replica.view.proven ? FITNESS[replica.view.state] : 'away'),
    lagMs: () => replica.view.lagMs,
    settled: () => settledOf(replica.view),
  };
}

/** For clients that come from earlier places in the log. Each reads some changes, and sends them without a connection. */
const REPLAY_CONNECTIONS = 2;

const FITNESS: Record<ReplicaState, ReturnType<FeedSource['fitness']>> = {
  streaming: 'growing',
  lagging: 'standing',
  copying: 'standing',
  disabled: 'standing',
  lost: 'standing',
  reachable: 'standing',
  down: 'away',
};

/** Where its latest transaction ended, once that can be read. */
const settledOf = ({ applied, progress }: ReplicaView) =>
  applied !== null && progress !== null && applied >= progress ? progress : null;
