import type { Config } from '../boot/config.ts';
import { refusalOf } from '../database/refusal.ts';
import { leadsToPooler } from '../database/pooled.ts';
import { isSubscribed } from '../database/sql/subscriptions.ts';
import { SetupError } from '../lib/errors.ts';
import { basicsOf, describeVersion, type Basics, type OperatedServer, type Side } from './servers.ts';

type CheckConfig = Pick<Config, 'DB_CONNECT_TIMEOUT_MS' | 'POOLER_CHECK'>;

interface Facts extends Basics {
  /** It has Readback's subscription: it is a replica. */
  subscribes: boolean;
  /** Set-up's lock is a session's. */
  pooled: boolean;
}

/** Something that replication needs of a server, and what to say, with the remedy, where it lacks. */
interface Requirement {
  /** Left out: both sides. */
  of?: Side;
  lacks: (own: Facts, primary: Facts) => boolean;
  told: (own: Facts) => string;
}

const IS_POOLER =
  'this is a connection pooler, and set-up needs a session of its own. Name PostgreSQL itself in PRIMARY_URL, REPLICA_URLS and their admin URLs.';

/** Each is asked for before anything is changed. */
const REQUIREMENTS: Requirement[] = [
  {
    lacks: ({ version }) => version < 150_000,
    told: ({ version }) =>
      `PostgreSQL 15 or later is needed (column lists, prompt notifications), this is ${describeVersion(version)}. Upgrade it.`,
  },
  {
    lacks: ({ isSuperuser }) => !isSuperuser,
    told: () =>
      'the setting-up login must be a superuser. Set PRIMARY_ADMIN_URL or REPLICA_ADMIN_URLS to one; the server itself needs no such login.',
  },
  { lacks: ({ pooled }) => pooled, told: () => IS_POOLER },
  {
    lacks: ({ isStandby }) => isStandby,
    told: () => 'this is a physical standby, which cannot be written. Name its primary instead.',
  },
  {
    of: 'primary',
    lacks: ({ walLevel }) => walLevel !== 'logical',
    told: ({ walLevel }) =>
      `wal_level must be logical, it is ${walLevel}. Run: alter system set wal_level = logical; and restart PostgreSQL.`,
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
    told: () =>
      'track_commit_timestamp must be on: it tells when a change was committed on the primary. Run: alter system set track_commit_timestamp = on; and restart PostgreSQL.',
  },
  {
    of: 'replica',
    lacks: ({ identity }, primary) => identity === primary.identity,
    told: () => 'this is the same database as the primary. Name another server.',
  },
];

/** Asks both sides for everything that replication needs; throws one SetupError that lists all that is missing. */
export async function checkRequirements(
  primary: OperatedServer,
  replicas: OperatedServer[],
  config: CheckConfig,
): Promise<void> {
  const servers = [primary, ...replicas];
  const facts = await Promise.all(servers.map((server) => readFacts(server, config)));
  const problems = servers.flatMap(({ name, at }, index) => {
    const own = facts[index]!;
    const side = index === 0 ? 'primary' : 'replica';
    return REQUIREMENTS.filter(({ of = side, lacks }) => of === side && lacks(own, facts[0]!)).map(
      ({ told }) => `${name} (${at}): ${told(own)}`,
    );
  });
  if (problems.length > 0) throw new SetupError(problems.join('\n'));
}

async function readFacts({ name, at, admin, urls }: OperatedServer, config: CheckConfig): Promise<Facts> {
  try {
    return {
      ...(await basicsOf(admin)),
      subscribes: await isSubscribed(admin),
      pooled: await leadsToPooler(urls.adminUrl, config),
    };
  } catch (error) {
    if (/unsupported startup parameter/.test((error as Error).message))
      throw new SetupError(`${name} (${at}): ${IS_POOLER}`);
    const refusal = refusalOf(error);
    if (!refusal) throw error;
    throw new SetupError(`${name} (${at}): cannot be used: ${refusal.reason}. ${refusal.remedy}`);
  }
}
