import type { FastifyInstance } from 'fastify';
import type { ReplicationStatus } from '../replication/status.ts';

type Status = ReturnType<ReplicationStatus['now']>;

/** /health as the seed has it, with what is behind it; /health/live and /health/ready for whoever starts and stops servers. */
export function addHealth(app: FastifyInstance, status: ReplicationStatus, isStopping: () => boolean): void {
  app.get('/health', async (_, reply) => {
    const now = status.now();
    const verdict = judge(now);
    void reply.code(verdict.status === 'unhealthy' ? 503 : 200).header('cache-control', 'no-store');
    return {
      ...verdict,
      timestamp: now.at,
      writes: now.primary.reachable,
      reads: canRead(now),
      primary: now.primary,
      replicas: now.replicas,
      feed: now.feed,
    };
  });
  app.get('/health/live', async () => ({ status: 'live' }));
  app.get('/health/ready', async (_, reply) => {
    const reason = whyNotReady(status.now(), isStopping());
    void reply.code(reason === undefined ? 200 : 503).header('cache-control', 'no-store');
    return reason === undefined ? { status: 'ready' } : { status: 'not ready', reason };
  });
}

/**
 * Why another server would do better; undefined where none would. What all servers suffer from alike is none: a replica
 * that is ill, a primary that is away, a feed that stands still. Taken out for those, no server would be left to answer
 * what can be answered.
 */
function whyNotReady(now: Status, isStopping: boolean): string | undefined {
  if (isStopping) return 'The server is stopping: what runs is finished, and nothing new should come';
  if (now.feed.phase === 'STARTING') return 'The server is starting: it has yet to find its place in the change feed';
  if (!now.primary.reachable && !canRead(now)) return 'Neither the primary nor a replica can be reached';
  return undefined;
}

const STANDS = 'the change feed stands still (feed.reason says why): run readback doctor';

const isWell = ({ state }: Status['replicas'][number]) => state === 'STREAMING';
const canRead = ({ replicas }: Status) => replicas.some(({ state }) => !UNREADABLE.has(state));
const UNREADABLE: ReadonlySet<string> = new Set(['DOWN', 'COPYING', 'LOST']);

function judge(now: Status): { status: 'healthy' | 'degraded' | 'unhealthy'; message: string } {
  const ill = now.replicas.filter((replica) => !isWell(replica));
  const states = ill.map(({ name, state }) => `${name} is ${state.toLowerCase()}`).join(', ');
  if (!now.primary.reachable) {
    const reads = canRead(now) ? 'reads go on from the replicas' : 'no replica answers either';
    return { status: 'unhealthy', message: `The primary cannot be reached: nothing can be written, ${reads}` };
  }
  if (ill.length === now.replicas.length) {
    return {
      status: 'unhealthy',
      message: `No replica is well (${states}): writes go on, and reads fall back to the primary`,
    };
  }
  if (ill.length > 0) return { status: 'degraded', message: `Reads and writes work, but ${states}` };
  if (now.feed.phase === 'DEGRADED') return { status: 'degraded', message: `Reads and writes work, but ${STANDS}` };
  const advice = now.replicas.flatMap(({ slot }) => slot?.advice ?? []);
  if (advice.length > 0) return { status: 'degraded', message: `Reads and writes work, but: ${advice.join(' ')}` };
  return { status: 'healthy', message: 'Both read and write databases are connected' };
}
