import type { FastifyInstance } from 'fastify';
import { bearerOf, type Access } from '../auth/access.ts';
import { mayAll } from '../auth/viewer.ts';
import { withinMs } from '../lib/within.ts';
import { driftInWords } from '../setup/drift.ts';
import type { ReplicationStatus } from '../replication/status.ts';

type Status = ReturnType<ReplicationStatus['now']>;

/**
 * /health: whether it is well, and what works. Its details have names, positions and reasons of
 * the inside: it is for administrators, by their token, or for everybody where `access` is undefined or open.
 */
export function addHealth(app: FastifyInstance, status: ReplicationStatus, access: Access | undefined): void {
  app.get('/health', async ({ headers }, reply) => {
    const now = status.now();
    const isInFull = !access || (await isAdmin(access, headers.authorization));
    const verdict = judge(now, isInFull);
    void reply.code(verdict.status === 'unhealthy' ? 503 : 200).header('cache-control', 'private, no-store');
    return {
      ...verdict,
      timestamp: now.at,
      writes: now.primary.reachable && now.primary.refusal === null,
      reads: canRead(now),
      ...(isInFull && { primary: now.primary, replicas: now.replicas, feed: now.feed, tables: now.tables }),
    };
  });
}

/** Whom a load balancer asks answers in time. */
const TOKEN_MS = 1000;

/** Whoever asks how the server is gets an answer, also with a token that is not good, or cannot be checked now. */
async function isAdmin(access: Access, authorization: string | undefined): Promise<boolean> {
  const token = access.isOpen ? undefined : bearerOf(authorization);
  return withinMs(access.viewer(token), TOKEN_MS).then(mayAll, () => false);
}

/** /health/live and /health/ready, for whoever starts and stops servers. */
export function addProbes(app: FastifyInstance, status: ReplicationStatus, isStopping: () => boolean): void {
  app.get('/health/live', async () => ({ status: 'live' }));
  app.get('/health/ready', async (_, reply) => {
    const reason = whyNotReady(status.now(), isStopping());
    void reply.code(reason === undefined ? 200 : 503);
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

const isWell = ({ state }: Status['replicas'][number]) => state === 'STREAMING';
const canRead = ({ replicas }: Status) => replicas.some(({ state }) => !UNREADABLE.has(state));
const UNREADABLE: ReadonlySet<string> = new Set(['DOWN', 'COPYING', 'LOST']);

interface Verdict {
  status: 'healthy' | 'degraded' | 'unhealthy';
  message: string;
}

/** `isInFull`: for whoever may know the inside. */
function judge(now: Status, isInFull: boolean): Verdict {
  const inFull = (details: string) => (isInFull ? ` (${details})` : '');
  const ill = now.replicas.filter((replica) => !isWell(replica));
  const { reachable, reason, refusal } = now.primary;
  if (!reachable) {
    const reads = canRead(now) ? 'reads go on from the replicas' : 'no replica answers either';
    const why = reason === null ? '' : inFull(reason);
    return { status: 'unhealthy', message: `The primary cannot be reached${why}: nothing can be written, ${reads}` };
  }
  if (refusal !== null)
    return { status: 'unhealthy', message: `The primary refuses writes${inFull(refusal)}: reads go on` };
  if (ill.length === now.replicas.length) {
    const goesOn = 'writes go on, and reads fall back to the primary';
    return { status: 'unhealthy', message: `No replica is well${inFull(statesOf(ill))}: ${goesOn}` };
  }
  const fault = faultsOf(now, ill).find(({ is }) => is);
  if (!fault) return { status: 'healthy', message: 'Both read and write databases are connected' };
  return { status: 'degraded', message: `Reads and writes work, but ${isInFull ? fault.inFull : fault.brief}` };
}

/** In words for whoever may know the inside, and for anybody. */
function faultsOf({ primary: { reason }, feed, replicas, tables }: Status, ill: Status['replicas']) {
  const stands = 'the change feed stands still';
  const untold = 'the primary does not tell all that is needed';
  const heldUp = 'a replica holds up what the primary would let go';
  const changed = 'tables of the primary have changed';
  const changes = tables.map(driftInWords).join('; ');
  const advice = replicas.flatMap(({ slot }) => slot?.advice ?? []);
  return [
    { is: ill.length > 0, inFull: statesOf(ill), brief: 'a replica is not well' },
    { is: feed.phase === 'DEGRADED', inFull: `${stands} (feed.reason says why): run readback doctor`, brief: stands },
    { is: reason !== null, inFull: `of the primary ${reason}: run readback doctor`, brief: untold },
    { is: tables.length > 0, inFull: `${changed}: ${changes}`, brief: changed },
    { is: advice.length > 0, inFull: `slots want attention: ${advice.join(' ')}`, brief: heldUp },
  ];
}

/** One that can be reached may sound well. */
const statesOf = (ill: Status['replicas']) =>
  ill
    .map(({ name, state }) =>
      state === 'REACHABLE'
        ? `${name} answers, and no worker applies changes there: run readback doctor`
        : `${name} is ${state.toLowerCase()}`,
    )
    .join(', ');
