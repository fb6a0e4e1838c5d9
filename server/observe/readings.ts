import { Counter, Gauge, type Registry } from 'prom-client';
import type { Feed } from '../feed/feed.ts';
import type { FeedState } from '../feed/state.ts';
import type { Complain } from '../lib/complaints.ts';
import type { Hasher } from '../lib/password.ts';
import { withinMs } from '../lib/within.ts';
import type { Primary } from '../replication/primary.ts';
import { REPLICA_STATES } from '../replication/state.ts';
import type { ReplicationStatus } from '../replication/status.ts';
import type { Slot } from '../database/sql/slots.ts';
import type { PoolWatch } from './pool.ts';

/** What knows its own numbers: it is asked when somebody reads the metrics, and tells nobody before. */
export interface Known {
  status: ReplicationStatus;
  primary: Primary;
  feed: Feed;
  fanOut: { subscribers: number; groups: number; slowClients: number };
  hasher: Hasher;
  pools: () => Iterable<PoolWatch>;
  /** How long the primary may take to tell of its slots. */
  slotsTimeoutMs: number;
  complain: Complain;
}

const NO_SLOTS = 'The primary does not tell of its slots, so the metrics have none.';

type Sample = [labels: Record<string, string>, value: number];
type Samples = Iterable<Sample>;

/** As a record, so that the compiler finds one that is left out. */
const FEED_PHASES = Object.keys({
  starting: true,
  catchingUp: true,
  live: true,
  degraded: true,
  stopped: true,
} satisfies Record<FeedState['phase'], true>);
const WAL_STATES = ['reserved', 'extended', 'unreserved', 'lost'];

export function addReadings(registry: Registry, known: Known): void {
  const gauge = (name: string, help: string, labelNames: string[], read: () => Samples | Promise<Samples>) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      async collect() {
        this.reset();
        for (const [labels, value] of await read()) this.set(labels, value);
      },
    });
  const counter = (name: string, help: string, read: () => number) =>
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  addPools(gauge, known);
  addReplication(gauge, known);
  addSlots(gauge, known);
  addFeed(gauge, counter, known);
  const { hasher } = known;
  gauge('readback_password_hashes_running', 'Passwords that are hashed now', [], () => one(hasher.running));
  gauge('readback_password_hashes_waiting', 'Passwords that wait to be hashed', [], () => one(hasher.waiting));
}

type AddGauge = (name: string, help: string, labels: string[], read: () => Samples | Promise<Samples>) => unknown;
type AddCounter = (name: string, help: string, read: () => number) => unknown;

const one = (value: number): Samples => [[{}, value]];
/** What is not known now has no sample. */
const maybe = (value: number | null | undefined): Samples => (value == null ? [] : one(value));
const sample = (label: string, of: string, value: number | null): Sample[] =>
  value === null ? [] : [[{ [label]: of }, value]];

function addPools(gauge: AddGauge, { pools }: Known): void {
  const ofPool = (name: string, help: string, read: (pool: PoolWatch) => number) =>
    gauge(name, help, ['pool'], () => Array.from(pools(), (pool) => [{ pool: pool.name }, read(pool)]));
  ofPool('readback_pool_connections', 'Connections that a pool may have', (pool) => pool.connections);
  ofPool('readback_pool_connections_in_use', 'Connections that work now', ({ inUse }) => inUse);
  ofPool('readback_pool_waiting', 'Statements and reservations that wait for a connection', ({ waiting }) => waiting);
}

function addReplication(gauge: AddGauge, { status, primary }: Known): void {
  type ReplicaStatus = ReturnType<ReplicationStatus['now']>['replicas'][number];
  const ofReplica = (name: string, help: string, read: (replica: ReplicaStatus) => number | null) =>
    gauge(name, help, ['replica'], () =>
      status.now().replicas.flatMap((one) => sample('replica', one.name, read(one))),
    );
  gauge('readback_primary_reachable', '1: the primary answers', [], () => one(Number(primary.reachable)));
  gauge('readback_primary_writes', '1: the primary answers, and did not refuse what it was asked last', [], () =>
    one(Number(primary.reachable && primary.refusal === null)),
  );
  gauge('readback_primary_position_bytes', 'End of the WAL that the primary has flushed', [], () =>
    maybe(numberOf(primary.clock.latest)),
  );
  gauge('readback_replica_state', '1 for the state that the replica is in', ['replica', 'state'], () =>
    status
      .now()
      .replicas.flatMap(({ name, state }) => oneOf(REPLICA_STATES, state.toLowerCase(), 'state', { replica: name })),
  );
  const seconds = (ms: number | null) => ms && ms / 1000;
  ofReplica('readback_replica_lag_seconds', 'How old the state of the replica is', ({ lagMs }) => seconds(lagMs));
  ofReplica('readback_replica_lag_bytes', 'WAL that the replica has not applied', ({ lagBytes }) => lagBytes);
  ofReplica('readback_replica_copying_tables', 'Tables in their initial copy', ({ copyingTables }) => copyingTables);
}

/** All four ask at once, and share one answer. A primary that is away, or does not tell in time, has no samples. */
function addSlots(gauge: AddGauge, { primary, slotsTimeoutMs, complain }: Known): void {
  const none = (error: unknown): Slot[] => {
    complain(error, NO_SLOTS);
    return [];
  };
  const read = async () => (primary.reachable ? withinMs(primary.slots(), slotsTimeoutMs).catch(none) : []);
  const ofSlot = (name: string, help: string, value: (slot: Slot) => number | null) =>
    gauge(name, help, ['slot'], async () => (await read()).flatMap((slot) => sample('slot', slot.name, value(slot))));
  ofSlot('readback_slot_active', '1: the replica is connected to its slot', ({ isActive }) => Number(isActive));
  ofSlot('readback_slot_held_bytes', 'WAL that the primary keeps for the slot', ({ heldBytes }) => heldBytes ?? 0);
  ofSlot(
    'readback_slot_limit_bytes',
    'WAL past which the slot is lost; none: no limit',
    ({ limitBytes }) => limitBytes,
  );
  gauge('readback_slot_wal_state', '1 for the state of the WAL that the slot needs', ['slot', 'state'], async () =>
    (await read()).flatMap(({ name, walStatus }) => oneOf(WAL_STATES, walStatus, 'state', { slot: name })),
  );
}

function addFeed(gauge: AddGauge, counter: AddCounter, { feed, fanOut }: Known): void {
  gauge('readback_feed_state', '1 for the phase that the change feed is in', ['state'], () =>
    oneOf(FEED_PHASES, feed.state.phase, 'state', {}),
  );
  gauge('readback_feed_position_bytes', 'End of the WAL whose changes the feed has read', [], () =>
    maybe(numberOf(feed.end?.lsn)),
  );
  counter('readback_feed_gaps_total', 'Times that the feed ceased to be live', () => feed.gaps);
  gauge('readback_subscribers', 'Live subscriptions to changes', [], () => one(fanOut.subscribers));
  gauge('readback_subscription_groups', 'Kinds of subscriptions, for each of which a change is rendered once', [], () =>
    one(fanOut.groups),
  );
  counter('readback_slow_clients_closed_total', 'Websockets closed because they stayed full', () => fanOut.slowClients);
}

const oneOf = (
  all: readonly string[],
  current: string | null,
  label: string,
  labels: Record<string, string>,
): Sample[] => all.map((value) => [{ ...labels, [label]: value }, Number(value === current)]);

const numberOf = (lsn: bigint | null | undefined) => (lsn == null ? null : Number(lsn));
