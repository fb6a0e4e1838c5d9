import type { Config } from '../boot/config.ts';
import { refusalOf } from '../database/refusal.ts';
import { leadsToPooler } from '../database/pooled.ts';
import { isSubscribed } from '../database/sql/subscriptions.ts';
import { parseDatabaseUrl } from '../lib/database-url.ts';
import { SetupError } from '../lib/errors.ts';
import { toSet } from './providers.ts';
import { planOf, RIGHTS, rightsOf, type Plan, type Rights } from './rights.ts';
import { basicsOf, describeVersion, type Basics, type OperatedServer, type Side } from './servers.ts';

type CheckConfig = Pick<Config, 'DB_CONNECT_TIMEOUT_MS' | 'POOLER_CHECK' | 'SUBSCRIPTIONS'>;

export interface Facts extends Basics, Rights {
  /** It has Readback's subscription: it is a replica. */
  subscribes: boolean;
  /** Set-up's lock is a session's. */
  pooled: boolean;
}

/** Something that replication needs of a server, and what to say, with the remedy, where it lacks. */
interface Requirement {
  /** Left out: both sides. */
  of?: Side;
  lacks: (own: Facts, primary: Facts | undefined, plan: Plan) => boolean;
  told: (own: Facts, plan: Plan) => string;
}

const IS_POOLER =
  'this is a connection pooler, and set-up needs a session of its own. Name PostgreSQL itself in PRIMARY_URL, REPLICA_URLS and their admin URLs.';

/** Each is asked for before anything is changed. */
export const REQUIREMENTS: Requirement[] = [
  {
    lacks: ({ version }) => version < 150_000,
    told: ({ version }) =>
      `PostgreSQL 15 or later is needed (column lists, prompt notifications), this is ${describeVersion(version)}. Upgrade it.`,
  },
  { lacks: ({ pooled }) => pooled, told: () => IS_POOLER },
  {
    lacks: ({ isStandby }) => isStandby,
    told: () => 'this is a physical standby, which cannot be written. Name its primary instead.',
  },
  {
    of: 'primary',
    lacks: ({ walLevel }) => walLevel !== 'logical',
    told: ({ walLevel, provider }) =>
      `wal_level must be logical, it is ${walLevel}. ${toSet(provider, 'wal_level', 'logical', 'restart')}`,
  },
  {
    of: 'primary',
    lacks: ({ subscribes }) => subscribes,
    told: () =>
      'this is a replica: it has the subscription readback. Name the primary; PRIMARY_URL and REPLICA_URLS may be swapped.',
  },
  {
    of: 'replica',
    lacks: ({ trackCommitTimestamp }) => trackCommitTimestamp !== 'on',
    told: ({ provider }) =>
      `track_commit_timestamp must be on: it tells when a change was committed on the primary. ${toSet(provider, 'track_commit_timestamp', 'on', 'restart')}`,
  },
  {
    of: 'replica',
    lacks: ({ identity }, primary) => identity === primary?.identity,
    told: () => 'this is the same database as the primary. Name another server.',
  },
  // Of what cannot be used anyway, rights are not asked for.
  ...RIGHTS.map(({ of, lacks, found, remedy }): Requirement => ({
    ...(of && { of }),
    lacks: (own, _, plan) => own.version >= 150_000 && !own.pooled && !own.isStandby && lacks(own, plan),
    told: (own, plan) => `${found(own, plan)}. ${remedy(own, plan)}`,
  })),
];

/** A server, what it is, where it answers, and what it lacks, each with the remedy. */
export interface Examined {
  server: OperatedServer;
  facts: Facts | undefined;
  lacks: string[];
}

/** Asks both sides for everything that replication needs. Changes nothing. */
export async function examine(
  primary: OperatedServer,
  replicas: OperatedServer[],
  config: CheckConfig,
): Promise<Examined[]> {
  const found = await Promise.all([
    readFacts(primary, 'primary', config),
    ...replicas.map((replica) => readFacts(replica, 'replica', config)),
  ]);
  const [ofPrimary] = found;
  const plan = 'lack' in ofPrimary ? undefined : await planOf(primary, config);
  return [primary, ...replicas].map((server, index) => {
    const own = found[index]!;
    if ('lack' in own) return { server, facts: undefined, lacks: [own.lack] };
    const side = index === 0 ? 'primary' : 'replica';
    const those = plan && !('lack' in ofPrimary) ? { primary: ofPrimary, plan } : UNKNOWN;
    const missing = REQUIREMENTS.filter(({ of = side, lacks }) => of === side && lacks(own, those.primary, those.plan));
    return { server, facts: own, lacks: missing.map(({ told }) => told(own, those.plan)) };
  });
}

/** Where the primary does not answer, of the replicas is told what they lack by themselves. */
const UNKNOWN = { primary: undefined, plan: { isAwaited: false, streamsAs: null, hasPassword: false } };

/** @throws SetupError that lists all that is missing. */
export async function checkRequirements(
  primary: OperatedServer,
  replicas: OperatedServer[],
  config: CheckConfig,
): Promise<void> {
  const examined = await examine(primary, replicas, config);
  const problems = examined.flatMap(({ server: { name, at }, lacks }) =>
    lacks.map((lack) => `${name} (${at}): ${lack}`),
  );
  if (problems.length > 0) throw new SetupError(problems.join('\n'));
}

async function readFacts(
  { admin, urls }: OperatedServer,
  side: Side,
  config: CheckConfig,
): Promise<Facts | { lack: string }> {
  try {
    return {
      ...(await basicsOf(admin)),
      ...(await rightsOf(admin, side, parseDatabaseUrl(urls.url).user ?? '')),
      subscribes: await isSubscribed(admin),
      pooled: await leadsToPooler(urls.adminUrl, config),
    };
  } catch (error) {
    if (/unsupported startup parameter/.test((error as Error).message)) return { lack: IS_POOLER };
    const refusal = refusalOf(error);
    if (!refusal) throw error;
    return { lack: `cannot be used: ${refusal.reason}. ${refusal.remedy}` };
  }
}
