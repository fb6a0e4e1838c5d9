import { PRIMARY_ROLES, REPLICA_ROLES } from '../../../setup/logins.ts';
import { hiddenFrom } from '../../../setup/row-security.ts';
import { textsOf } from '../../../setup/texts.ts';
import type { TableShape } from '../../../setup/shapes.ts';
import { unreachable, type OperateConfig, type OperatedServer, type Servers } from '../../servers.ts';
import type { Facts, PrimaryFacts, ReplicaFacts, ServerFacts } from '../facts.ts';
import { lookAtBasics, lookAtClock, lookAtSenders, lookAtWorkers } from './basics.ts';
import { grantsOfPrimary, grantsOfReplica, lookAtLogin, missingGrants, missingRoles } from './logins.ts';
import { lookAtPoolers } from './poolers.ts';
import { lookAtHosts, noteAhead, noteMissing } from './hosts.ts';
import { lookAtPrimary } from './primary.ts';
import { probe } from './probe.ts';
import { lookAtReplica } from './replica.ts';

export interface LookOptions extends OperateConfig {
  /** How long a heartbeat may take from the primary to a replica. */
  waitMs: number;
  /** A transaction of the primary that is open for longer is told. */
  longTransactionMs: number;
}

/** The oldest version that can be asked what the checks want to know. */
const KNOWN_VERSION = 150_000;

/** Asks all servers everything that the checks need. Writes nothing but one heartbeat for each replica. */
export async function look({ primary, replicas }: Servers, options: LookOptions): Promise<Facts> {
  const one = await lookAtOne<PrimaryFacts>(primary, 'primary', options, () => primaryDetails(primary, options));
  const hosts = await lookAtHosts(primary.urls.adminUrl, options.DB_CONNECT_TIMEOUT_MS);
  const published = one.details?.published ?? [];
  const others = await Promise.all(
    replicas.map((replica) =>
      lookAtOne<ReplicaFacts>(replica, 'replica', options, ({ isSetUp }) =>
        isSetUp ? replicaDetails(replica, published, options) : replicaLimits(replica),
      ),
    ),
  );
  if (one.details) one.details.hidden = await hiddenFrom(primary.admin, tablesOf(published), readersOf(others));
  if (one.basics?.isSetUp) {
    await noteAhead(primary, replicas, others, !one.details?.timelines);
    await noteMissing(primary, replicas, others);
    await probeAll(primary, replicas, others, options.waitMs);
  }
  return { primary: { ...one, ...(hosts && { hosts }) }, replicas: others };
}

const tablesOf = (shapes: TableShape[]) => shapes.map(({ table }) => table);

/** Who reads on the primary: the server, and each replica's login as it copies. */
const readersOf = (replicas: ReplicaFacts[]) => [
  'readback_reader',
  'readback_writer',
  ...replicas.flatMap(({ details }) => details?.subscription?.connectsAs?.user ?? []),
];

type Details<T extends ServerFacts> = Partial<
  Omit<T, keyof Pick<ServerFacts, 'name' | 'at' | 'basics' | 'clock' | 'texts'>>
>;

async function lookAtOne<T extends ServerFacts>(
  server: OperatedServer,
  side: 'primary' | 'replica',
  options: LookOptions,
  details: (basics: NonNullable<ServerFacts['basics']>) => Promise<Details<T>>,
): Promise<T> {
  const { name, at, admin } = server;
  const reason = await unreachable(server, options.DB_CONNECT_TIMEOUT_MS);
  if (reason !== undefined) return { name, at, unreachable: reason } as T;
  const basics = await lookAtBasics(admin, side);
  const clock = await lookAtClock(admin);
  const texts = await textsOf(admin);
  const canLook = basics.version >= KNOWN_VERSION && basics.isSuperuser && !basics.isStandby;
  return { name, at, basics, clock, texts, ...(canLook && (await details(basics))) } as T;
}

async function primaryDetails(primary: OperatedServer, options: LookOptions): Promise<Details<PrimaryFacts>> {
  const { admin } = primary;
  const details = await lookAtPrimary(admin, options.longTransactionMs);
  return {
    details,
    limits: await lookAtSenders(admin),
    login: await lookAtLogin(primary, PRIMARY_ROLES, options),
    ...(await lookAtPoolers(primary.urls, options)),
    missingRoles: await missingRoles(admin, PRIMARY_ROLES),
    missingGrants: await missingGrants(admin, grantsOfPrimary(details.published)),
  };
}

async function replicaDetails(
  replica: OperatedServer,
  published: TableShape[],
  options: LookOptions,
): Promise<Details<ReplicaFacts>> {
  const { admin } = replica;
  const details = await lookAtReplica(admin, tablesOf(published), options.DB_CONNECT_TIMEOUT_MS);
  return {
    ...(await replicaLimits(replica)),
    details,
    login: await lookAtLogin(replica, REPLICA_ROLES, options),
    ...(await lookAtPoolers(replica.urls, options)),
    missingRoles: await missingRoles(admin, REPLICA_ROLES),
    missingGrants: await missingGrants(admin, grantsOfReplica(details.shapes)),
  };
}

const replicaLimits = async ({ admin }: OperatedServer) => ({ limits: await lookAtWorkers(admin) });

async function probeAll(primary: OperatedServer, replicas: OperatedServer[], facts: ReplicaFacts[], waitMs: number) {
  await Promise.all(
    facts.map(async ({ details }, index) => {
      if (!details?.subscription?.isEnabled) return;
      details.probe = await probe(primary, replicas[index]!, waitMs);
    }),
  );
}
