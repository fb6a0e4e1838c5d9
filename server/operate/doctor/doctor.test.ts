import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Slot } from '../../database/sql/slots.ts';
import { PROVIDERS, type Provider } from '../../setup/providers.ts';
import { RIGHTS, type Plan, type Right } from '../../setup/rights.ts';
import {
  findingsOf,
  type Facts,
  planFixes,
  type PrimaryDetails,
  type PrimaryFacts,
  type ReplicaDetails,
  type ReplicaFacts,
} from './doctor.ts';
import type { HostFacts } from './failover.ts';
import type { Finding } from './finding.ts';
import type { ServerFacts } from './servers.ts';

type Basics = NonNullable<ServerFacts['basics']>;

const basics = (changes: Partial<Basics> = {}): Basics => ({
  version: 180_004,
  walLevel: 'logical',
  trackCommitTimestamp: 'on',
  isSuperuser: true,
  isStandby: false,
  identity: '1/a',
  provider: null,
  login: 'postgres',
  database: 'a',
  mayMakeRoles: true,
  mayCreate: true,
  notPassedOn: [],
  notCopied: [],
  schemaOwner: null,
  mayReplicate: true,
  maySubscribe: true,
  subscriptionOwner: null,
  seesSessions: true,
  asksOrigin: true,
  asksOwnOrigin: true,
  isSetUp: true,
  ...changes,
});

const PLAN = { isAwaited: false, hasPassword: false, streamsAs: null };

/** Every kind of finding that a test of this file comes upon. */
const met = new Set<string>();

/** What is found is so at any provider, and nobody there can follow a remedy that wants a superuser's settings. */
function judged(facts: Facts, options: Parameters<typeof findingsOf>[1]): Finding[] {
  const at =
    (provider: Provider) =>
    <Side extends PrimaryFacts | ReplicaFacts>(side: Side): Side =>
      side.basics ? { ...side, basics: { ...side.basics, provider } } : side;
  for (const provider of PROVIDERS) {
    const moved = { ...facts, primary: at(provider)(facts.primary), replicas: facts.replicas.map(at(provider)) };
    for (const { check, found, expected, remedy } of findingsOf(moved, options)) {
      met.add(check);
      expect(`${found} ${expected} ${remedy}`).not.toMatch(/alter system/i);
    }
  }
  return findingsOf(facts, options);
}

const named = (primary: Partial<PrimaryFacts>, replica: Partial<ReplicaFacts>) =>
  judged(
    {
      primary: { name: 'primary', at: 'p:1/a', basics: basics(), ...primary },
      replicas: [{ name: 'replica-1', at: 'r:1/a', basics: basics({ identity: '2/a' }), ...replica }],
      plan: PLAN,
    },
    { maxWalBytes: 1 },
  ).map(({ severity, server, check, found }) => `${severity} ${server} ${check}: ${found}`);

test('facts that are well make no findings', () => {
  expect(named({}, {})).toEqual([]);
});

test('a version before 15', () => {
  expect(named({ basics: basics({ version: 140_012, walLevel: 'replica' }) }, {})).toEqual([
    'error primary version: PostgreSQL 14.12',
  ]);
});

test('a standby, and a setting of the wrong side', () => {
  expect(named({}, { basics: basics({ identity: '2/a', isStandby: true, walLevel: 'replica' }) })).toEqual([
    'error replica-1 standby: a physical standby, which cannot be written',
  ]);
});

test('clocks: what the way there and back may have taken is no skew', () => {
  const clocks = (primary: [number, number], replica: [number, number]) => {
    const [one, other] = [primary, replica].map(([least, most]) => ({ clock: { least, most } }));
    return named(one!, other!);
  };
  expect(clocks([0, 10], [5, 15])).toEqual([]);
  expect(clocks([0, 3000], [3500, 4000])).toEqual([]);
  expect(clocks([0, 10], [1005, 1015])).toEqual([]);
  expect(clocks([0, 10], [2010, 2020])).toEqual([
    "warning replica-1 clock-skew: its clock is 2.0 s fast, measured by the primary's",
  ]);
  expect(clocks([0, 10], [-45_020, -45_000])).toEqual([
    "warning replica-1 clock-skew: its clock is 45.0 s slow, measured by the primary's",
  ]);
  expect(named({ clock: { least: 0, most: 0 } }, {})).toEqual([]);
});

test('limits: one left is a warning, none an error, two are enough', () => {
  const limits = [
    { setting: 'a', most: 10, used: 8 },
    { setting: 'b', most: 10, used: 9 },
    { setting: 'c', most: 10, used: 10 },
  ];
  expect(named({ limits }, {})).toEqual([
    'error primary limit: 10 of 10 that c allows are taken',
    'warning primary limit: 9 of 10 that b allows are taken',
  ]);
});

const primaryDetails = (changes: Partial<PrimaryDetails> = {}): PrimaryDetails => ({
  publication: { insert: true, update: true, delete: true, truncate: true },
  published: [{ table: 'readback.heartbeat', file: '1', columns: [column] }],
  whole: [],
  withoutIdentity: [],
  slots: [slot()],
  standbySlots: '',
  maxSlotWalKeepSize: 1000,
  idleSlotTimeoutS: null,
  transactions: [],
  timelinesUnread: null,
  hidden: [],
  gone: [],
  identities: [],
  drifts: [],
  partitionChanges: [],
  ...changes,
});

const column = {
  name: 'id',
  type: 'integer',
  labels: null,
  isNullable: false,
  isKey: true,
  isGenerated: false,
  number: 1,
  default: null,
  fill: null,
};

const slot = (changes: Partial<Slot> = {}): Slot => ({
  name: 'readback_1',
  isActive: true,
  walStatus: 'reserved',
  heldBytes: 0,
  owedBytes: 0,
  safeBytes: null,
  limitBytes: null,
  inactiveSince: null,
  invalidationReason: null,
  isFailover: true,
  ...changes,
});

const probe = {
  outcome: 'arrived',
  waitedMs: 5,
  applyErrors: 0,
  syncErrors: 0,
  worker: { pid: 1, blockers: [] },
  lagBytes: 0,
} as const;

const replicaDetails = (changes: Partial<ReplicaDetails> = {}): ReplicaDetails => ({
  subscription: {
    isEnabled: true,
    streaming: 'on',
    commit: 'local',
    twoPhase: false,
    binary: false,
    origin: 'any',
    failover: true,
    slot: 'readback_1',
    publications: ['readback'],
    connectsAs: null,
    refused: null,
    worker: 1,
    receivedAt: null,
    applyErrors: 0,
    syncErrors: 0,
    conflicts: {},
  },
  others: [],
  subscribed: [{ table: 'readback.heartbeat', isReady: true, rows: null, copiedTo: null }],
  watched: [],
  shapes: [{ table: 'readback.heartbeat', file: '1', columns: [column] }],
  triggers: [{ table: 'readback.heartbeat', name: 'ring', enabled: 'A' }],
  writers: [],
  isLogReady: true,
  feedFaults: [],
  mayLose: false,
  denied: null,
  changesCopied: 0,
  drifts: [],
  missing: null,
  hidden: [],
  identities: [],
  readOnly: null,
  probe: { ...probe, worker: { pid: 1, blockers: [] } },
  ...changes,
});

const both = (primary: Partial<PrimaryDetails>, replica: Partial<ReplicaDetails>) =>
  named({ details: primaryDetails(primary) }, { details: replicaDetails(replica) });

test('details that are well make no findings', () => {
  expect(both({}, {})).toEqual([]);
});

test('a commit that is not on the disk, unless it was chosen; what it has taken already', () => {
  const off = { ...replicaDetails().subscription!, commit: 'off' };
  const found = (replica: Partial<ReplicaDetails>) => both({}, replica).map((text) => text.split(':')[0]);
  expect(found({ subscription: off })).toEqual(['error replica-1 asynchronous-commit']);
  expect(found({ subscription: off, mayLose: true })).toEqual(['advice replica-1 asynchronous-commit']);
  expect(found({ missing: 0x1_0000_0000n })).toEqual(['error replica-1 transactions-lost']);
});

test('a slot that is about to be given up', () => {
  expect(both({ slots: [slot({ walStatus: 'unreserved' })] }, {})).toEqual([
    'error replica-1 slot-losing: the slot readback_1 holds more WAL than max_slot_wal_keep_size, and the primary is about to give it up',
  ]);
});

test('what the primary itself does to slots: without limits, with too small a one, and with both', () => {
  const found = (primary: Partial<PrimaryDetails>) => both(primary, {}).map((text) => text.split(':')[0]);
  expect(found({ maxSlotWalKeepSize: -1, idleSlotTimeoutS: 0 })).toEqual([
    'advice primary wal-limit',
    'advice primary idle-slot-limit',
  ]);
  expect(found({ maxSlotWalKeepSize: 0, idleSlotTimeoutS: 60 })).toEqual(['advice primary wal-limit']);
  expect(found({ maxSlotWalKeepSize: 1, idleSlotTimeoutS: 60 })).toEqual([]);
});

test('a replica that holds what the primary has lost', () => {
  expect(both({}, { aheadBytes: 8 })).toEqual([
    "error replica-1 replica-ahead: it has applied 8 bytes of WAL that are not of the primary's history, as far as can be told",
  ]);
});

test('without the publication an apply worker that fails is no finding of its own', () => {
  const failing = { ...probe, outcome: 'late', applyErrors: 3, worker: null } as const;
  const found = (primary: Partial<PrimaryDetails>) =>
    both(primary, { probe: failing }).map((text) => text.split(':')[0]);
  expect(found({})).toEqual(['error replica-1 apply-failing']);
  expect(found({ publication: null, published: [] })).toEqual(['error primary publication-missing']);
});

test('what an application changed is followed, and no transaction is skipped for it', () => {
  const failing = { ...probe, outcome: 'late', applyErrors: 3, worker: null } as const;
  const more = { ...column, name: 'more', isKey: false };
  const published = [{ table: 'readback.heartbeat', file: '1', columns: [column, more] }];
  const drift = { table: 'readback.heartbeat', column: 'more', found: 'more is new', command: 'readback migrate' };
  const remedies = (drifts: (typeof drift)[]) =>
    findingsOf(
      {
        primary: {
          name: 'primary',
          at: 'p:1/a',
          basics: basics(),
          details: primaryDetails({ published, whole: published, drifts }),
        },
        replicas: [
          {
            name: 'replica-1',
            at: 'r:1/a',
            basics: basics({ identity: '2/a' }),
            details: replicaDetails({ probe: failing }),
          },
        ],
        plan: PLAN,
      },
      { maxWalBytes: 1 },
    ).map(({ check, remedy }) => `${check}: ${remedy}`);
  expect(remedies([drift])).toEqual([
    'columns-differ: Run readback migrate. If it refuses this, on the replica: add it.',
    'tables-changed: Run readback migrate.',
  ]);
  expect(remedies([])).toEqual(['columns-differ: On the replica: add it.']);
});

test('a table that the primary has dropped is not to be published again', () => {
  const found = (gone: string[]) =>
    both({ gone }, { watched: ['public.things'] }).find((text) => text.includes('table-not-published'));
  expect(found([])).toBe(
    'error primary table-not-published: public.things is not in the publication, and replicas hold it',
  );
  expect(found(['public.things'])).toBe(
    'warning primary table-not-published: public.things is gone from the primary, and replicas hold it',
  );
});

test('a column that is not sent, unless the replica generates it', () => {
  const more = { ...column, name: 'more', isKey: false };
  const table = (columns: (typeof column)[]) => [{ table: 'readback.heartbeat', file: '1', columns }];
  const found = (own: typeof column) =>
    both({ whole: table([column, more]) }, { shapes: table([column, own]) }).map((text) => text.split(':')[0]);
  expect(found({ ...more, isNullable: true })).toEqual(['error primary column-not-published']);
  expect(found({ ...more, isGenerated: true })).toEqual([]);
});

describe('of a primary with several hosts', () => {
  const standby = { at: 'b:1/a', isStandby: true, unset: [], keeps: ['readback_1'] };
  const hosts = (second: HostFacts, primary: Partial<PrimaryDetails> = {}, version = 180_004) =>
    named(
      {
        basics: basics({ version }),
        details: primaryDetails({ standbySlots: 'b', ...primary }),
        hosts: [{ at: 'a:1/a', isStandby: false, unset: [], keeps: [] }, second],
      },
      { details: replicaDetails() },
    );

  test('a standby that keeps every slot, which wait for it, is well', () => {
    expect(hosts(standby)).toEqual([]);
  });

  test('what would not outlive a failover is named', () => {
    expect(hosts({ ...standby, isStandby: false })).toEqual([
      'error primary two-primaries: a:1/a and b:1/a both take writes',
    ]);
    expect(hosts({ at: 'b:1/a', unreachable: 'refused' })).toEqual([
      'warning primary standby-away: b:1/a does not answer: refused',
    ]);
    expect(hosts({ ...standby, unset: ['hot_standby_feedback'], keeps: [] })).toEqual([
      'warning primary standby-settings: b:1/a is a standby without hot_standby_feedback',
      'warning replica-1 slot-not-kept: the standby b:1/a does not keep its slot readback_1, or not yet',
    ]);
    expect(hosts(standby, { standbySlots: '' })).toEqual([
      'warning primary standby-slots: synchronized_standby_slots is empty: replicas may get changes that no standby has yet',
    ]);
    expect(hosts(standby, { slots: [slot({ isFailover: false })] })).toEqual([
      'warning replica-1 slot-not-kept: its slot readback_1 is not one that standbys keep',
    ]);
    expect(hosts(standby, {}, 160_004)).toEqual([
      'advice primary slot-not-kept: PostgreSQL 16, of which standbys keep no logical slots',
    ]);
  });
});

test('a table that is being copied, and a replica that is behind', () => {
  const copying = [{ table: 'readback.heartbeat', isReady: false, rows: 7, copiedTo: null }];
  expect(both({}, { subscribed: copying })).toEqual([
    'warning replica-1 copying: readback.heartbeat is being copied, 7 rows so far',
  ]);
  expect(
    both({}, { probe: { ...probe, outcome: 'late', waitedMs: 3000, lagBytes: 9, worker: { pid: 1, blockers: [] } } }),
  ).toEqual(['warning replica-1 behind: a heartbeat did not arrive within 3000 ms, it is 9 bytes behind']);
});

test('other publications, and a fault of the feed that no other check knows', () => {
  const { subscription } = replicaDetails();
  expect(both({}, { subscription: { ...subscription!, publications: ['readback', 'more'] } })).toEqual([
    'error replica-1 subscription-publication: it takes the publications readback, more',
  ]);
  expect(both({}, { feedFaults: ['something new'] })).toEqual(['error replica-1 log-not-ready: something new']);
  expect(both({}, { feedFaults: ['another subscription'], others: ['x'] })).toEqual([
    'error replica-1 other-subscription: another subscription, x, writes into this database',
  ]);
});

test('two replicas that read from one slot; slots of replicas that are away are not taken for orphans', () => {
  const replica = (name: string, more: Partial<ReplicaFacts>) => ({ name, at: name, ...more });
  const facts = {
    primary: {
      name: 'primary',
      at: 'p',
      basics: basics(),
      details: primaryDetails({ slots: [slot(), slot({ name: 'readback_2', isActive: false })] }),
    },
    replicas: [
      replica('replica-1', { basics: basics({ identity: '2/a' }), details: replicaDetails() }),
      replica('replica-2', { basics: basics({ identity: '3/a' }), details: replicaDetails() }),
      replica('replica-3', { unreachable: 'gone' }),
    ],
    plan: PLAN,
  };
  const checks = () => judged(facts, { maxWalBytes: 1 }).map(({ server, check }) => `${server} ${check}`);
  expect(checks()).toEqual(['replica-3 unreachable', 'replica-2 slot-shared']);
  facts.replicas.pop();
  expect(checks()).toEqual(['replica-2 slot-shared', 'primary slot-orphaned']);
});

test('fixes: each once, copying again makes others idle, grants come first', () => {
  expect(
    planFixes([
      { name: 'enable-subscription', server: 'replica-1' },
      { name: 'copy-again', server: 'replica-1' },
      { name: 'copy-again', server: 'replica-1' },
      { name: 'enable-subscription', server: 'replica-2' },
      { name: 'grant', server: 'primary' },
    ]),
  ).toEqual([
    { name: 'grant', server: 'primary' },
    { name: 'copy-again', server: 'replica-1' },
    { name: 'enable-subscription', server: 'replica-2' },
  ]);
});

/** A table of which the primary sends a column, and that the replica has otherwise. */
const users = (columns = [column]) => ({ table: 'public.users', file: '1', columns });
const heartbeat = { table: 'readback.heartbeat', file: '1', columns: [column] };
const subscribed = (table: string, isReady = true) => ({ table, isReady, rows: null, copiedTo: null });
const blocked = { ...probe, outcome: 'late' as const, worker: { pid: 1, blockers: ['process 2'] } };

test('what is wrong with servers, logins and poolers', () => {
  const login = { name: 'app', isSuperuser: true, lacks: ['readback_reader' as const] };
  const grants = [
    { role: 'readback_reader', privilege: 'SELECT', kind: 'table', object: 'users', column: 'id' } as const,
  ];
  const poolers = [{ at: 'b:6432', login: 'app', faults: ['a setting'] }];
  named({ login, missingGrants: grants, missingRoles: ['readback_pruner'], isPooled: true, poolers }, {});
  named({ login: { ...login, refused: 'no' } }, { basics: basics({ identity: '1/a' }) });
  named({ unreachable: 'gone' }, { basics: basics({ identity: '2/a', isSetUp: false }) });
  named(
    { basics: basics({ walLevel: 'replica' }) },
    { basics: basics({ identity: '2/a', trackCommitTimestamp: 'off' }) },
  );
  const noneOf = { schemaOwner: 'x', mayMakeRoles: false, mayCreate: false, notPassedOn: ['x'], notCopied: ['users'] };
  const nor = { mayReplicate: false, maySubscribe: false, subscriptionOwner: 'x', seesSessions: false };
  const lacking = { isSuperuser: false, ...noneOf, ...nor, asksOrigin: false };
  const plans: Plan[] = [false, true].flatMap((exists) =>
    [null, { login: 's', exists, mayReplicate: false, canBeSet: false }].map((streamsAs) => ({ ...PLAN, streamsAs })),
  );
  for (const plan of plans)
    for (const version of [150_004, 180_004]) {
      const own = basics({ ...lacking, version });
      const facts = { primary: { name: 'primary', at: 'p', basics: own }, replicas: [], plan };
      judged({ ...facts, replicas: [{ name: 'replica-1', at: 'r', basics: own }] }, { maxWalBytes: 1 });
      for (const right of RIGHTS) if (right.lacks(own, plan)) asked.add(right);
    }
  expect(RIGHTS.filter((right) => !asked.has(right))).toEqual([]);
});
const asked = new Set<Right>();

test('what is wrong with publications, slots and subscriptions', () => {
  const { subscription } = replicaDetails();
  const hidden = [{ table: 'users', role: 'readback_reader' }];
  const publication = { insert: true, update: false, delete: true, truncate: true };
  const drifts = [{ table: 'users', column: null, found: 'it is otherwise', command: 'readback migrate' }];
  const partitionChanges = [{ id: 1, table: 'users', part: 'users_1', what: 'dropped or detached' }];
  const transactions = [{ pid: 1, what: 'psql', ms: 1e6 }];
  const timelinesUnread = 'owner';
  both(
    { publication, hidden, drifts, partitionChanges, transactions, timelinesUnread, withoutIdentity: ['users'] },
    { watched: ['public.more'] },
  );
  for (const more of [{ walStatus: 'lost' }, { heldBytes: 2 }, { isActive: false, name: 'readback_2' }])
    both({ slots: [slot(more)] }, {});
  const identity = { table: 'public.users', index: null, columns: ['id'] };
  const unlike = { ...identity, index: 'users_email', columns: ['email'] };
  both({ identities: [identity] }, { identities: [unlike] });
  both({ published: [heartbeat, users()] }, { shapes: [heartbeat, users()] });
  for (const more of [
    { twoPhase: true },
    { binary: true },
    { origin: 'none' },
    { streaming: 'parallel' as const },
    { isEnabled: false },
    { conflicts: { update_missing: 1 } },
    { refused: 'no', connectsAs: { user: 'readback_1', address: 'p:1' } },
  ])
    both({}, { subscription: { ...subscription!, ...more }, probe: { ...probe, outcome: 'late', worker: null } });
  both({}, { subscription: null });
  both({}, { probe: blocked, readOnly: { owner: 'x', where: 'database a' } });
  both({}, { probe: blocked });
  both({}, { denied: { words: 'permission denied for function x', statement: 'grant execute on function x() to y' } });
  expect(met.has('two-phase')).toBe(true);
});

test('what is wrong with tables', () => {
  const wider = users([{ ...column, type: 'bigint' }]);
  const writers = ['public.users', 'readback.change_log'].map((table) => ({
    table,
    role: 'x',
    privileges: ['INSERT'],
  }));
  const has = { subscribed: [subscribed('readback.heartbeat'), subscribed('public.users', false)] };
  both({ published: [heartbeat, wider] }, { ...has, shapes: [heartbeat, users()], writers, isLogReady: false });
  both({}, { ...has, shapes: [heartbeat, users()], triggers: [], probe: { ...blocked, syncErrors: 2 } });
  expect(met.has('columns-differ')).toBe(true);
});

test('a server that is to give slots up, and cannot', () => {
  const found = (giver: object) => both({ giver: { login: 'x', mayDrop: true, mayNotEnd: [], ...giver } }, {});
  expect(found({})).toEqual([]);
  const words = 'SLOT_ACTION is drop, and the server cannot do it: readback.give_up_slot runs as x, which may not';
  expect(found({ mayDrop: false })).toEqual([`warning primary slot-action: ${words} drop replication slots`]);
  expect(found({ mayNotEnd: ['y'] })).toEqual([`warning primary slot-action: ${words} end the sessions of y`]);
});

test('every kind of finding was met above, at every provider', () => {
  const folder = import.meta.dirname;
  const sources = readdirSync(folder).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  const kinds = sources.flatMap((name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    return [...text.matchAll(/\b(?:kind|option)\(\s*'([\w-]+)'/g)].map(([, check]) => check!);
  });
  expect(kinds.filter((check) => !met.has(check))).toEqual([]);
});
