import { SetupError } from '../../lib/errors.ts';
import { format, fromUrl, parse } from '../../setup/conninfo.ts';
import { startLogAnew } from '../../setup/log-state.ts';
import {
  allowCopy,
  allowLogin,
  makeReplicator,
  PRIMARY_ROLES,
  REPLICA_ROLES,
  runFormatted,
  runSecretly,
} from '../../setup/logins.ts';
import { replicationUrl } from '../../setup/setup.ts';
import { readOnlyOn } from '../../setup/read-only.ts';
import { keepSlot, onePhase, setCommit } from '../../setup/replicate.ts';
import { shapesOf } from '../../setup/shapes.ts';
import { attach, completeLogs, type Attaching } from '../attach.ts';
import { dropSlot, dropSubscription } from '../detach.ts';
import { knowByKey } from './rekey.ts';
import type { OperatedServer } from '../servers.ts';
import type { Fix } from './finding.ts';
import { grantAgain } from './grants.ts';

type Repair = (server: OperatedServer, context: Attaching, subject: string) => Promise<void>;

/** What each fix does, in words for a question, and in deed. */
const FIXES: Record<Fix['name'], { does: (subject: string) => string; repair: Repair }> = {
  'enable-subscription': {
    does: () => 'enable the subscription',
    repair: async ({ admin }) => void (await admin`alter subscription readback enable`),
  },
  'stop-parallel': {
    does: () => 'set its streaming to on',
    repair: async ({ admin }) => void (await admin`alter subscription readback set (streaming = on)`),
  },
  'one-phase': {
    does: () => 'set its two_phase to false: it stands still for a moment, and applies what waits then',
    repair: onePhase,
  },
  'send-text': {
    does: () => 'set its binary to false',
    repair: async ({ admin }) => void (await admin`alter subscription readback set (binary = false)`),
  },
  'any-origin': {
    does: () => 'set its origin to any',
    repair: async ({ admin }) => void (await admin`alter subscription readback set (origin = any)`),
  },
  'let-write': {
    does: () => 'let the login that its apply worker runs as write in this database, and nobody else',
    repair: letWrite,
  },
  'known-by-key': {
    does: (table) =>
      `have rows of ${table} known by the primary key again, after what was sent by the other one is applied`,
    repair: (server, { servers, config }, table) => knowByKey(server, servers, table, config.INITIAL_COPY_TIMEOUT_MS),
  },
  'commit-locally': {
    does: () => 'set its synchronous_commit to local',
    repair: ({ admin }) => setCommit(admin, 'local'),
  },
  'watch-table': {
    does: (table) =>
      `put the triggers on ${table} again and, as its change log has a gap, begin that again: cursors of this replica expire`,
    repair: watchAgain,
  },
  'ring-always': {
    does: () => 'put the trigger of the heartbeat there again',
    repair: ringAgain,
  },
  grant: {
    does: () => "make the roles that are missing, and grant them and the server's login again what set-up grants",
    repair: grantRoles,
  },
  'refresh-publication': {
    does: () => 'take what is published since: empty those tables on the replica and copy them',
    repair: attach,
  },
  'drop-slot': {
    does: (slot) =>
      `drop the slot ${slot} and the login of that name: a replica that still needs it must be copied again`,
    repair: async (primary, _, slot) => void (await dropSlot(primary, slot)),
  },
  'keep-slot': {
    does: () => 'have its slot kept on standbys of the primary: it stands still for a moment',
    repair: keepSlot,
  },
  'copy-again': {
    does: () =>
      'drop its subscription and slot, empty its tables, subscribe and copy everything again: it answers no reads until then, and its cursors expire',
    repair: copyAnew,
  },
  'renew-login': {
    does: () => 'give its subscription a login with a new password, and the address of the primary that is configured',
    repair: renewLogin,
  },
  'complete-log': {
    does: () => 'wait for its copies to end, and note from where on its change log is complete',
    repair: async (_, context) => completeLogs(context),
  },
};

/** What a fix will do, for the question before it. */
export const describeFix = ({ name, server, subject = '' }: Fix): string => `${server}: ${FIXES[name].does(subject)}`;

export async function applyFix({ name, server, subject = '' }: Fix, context: Attaching): Promise<void> {
  const { primary, replicas } = context.servers;
  await FIXES[name].repair(
    [primary, ...replicas].find((one) => one.name === server)!,
    context,
    subject,
  );
}

/** Several findings may ask for the same. Copying again comes first, and makes what else is asked for its subscription idle. */
export function planFixes(fixes: Fix[]): Fix[] {
  const distinct = [...new Map(fixes.map((fix) => [`${fix.name} ${fix.server} ${fix.subject}`, fix])).values()];
  const again = new Set(distinct.filter(({ name }) => name === 'copy-again').map(({ server }) => server));
  const idle = new Set([
    'enable-subscription',
    'stop-parallel',
    'one-phase',
    'send-text',
    'any-origin',
    'commit-locally',
    'refresh-publication',
    'renew-login',
    'complete-log',
    'keep-slot',
  ]);
  return distinct
    .filter(({ name, server }) => !(again.has(server) && idle.has(name)))
    .toSorted((a, b) => PRECEDENCE.indexOf(a.name) - PRECEDENCE.indexOf(b.name));
}

/** What stands in the way of others first. */
const PRECEDENCE: Fix['name'][] = [
  'grant',
  'drop-slot',
  'let-write',
  'renew-login',
  'copy-again',
  'one-phase',
  'keep-slot',
  'enable-subscription',
  'stop-parallel',
  'send-text',
  'any-origin',
  'known-by-key',
  'commit-locally',
  'ring-always',
  'refresh-publication',
  'watch-table',
  'complete-log',
];

async function letWrite({ admin }: OperatedServer): Promise<void> {
  const found = await readOnlyOn(admin);
  const [{ database }] = await admin<[{ database: string }]>`select current_database() as database`;
  if (!found) return;
  await runFormatted(
    admin,
    'alter role %I in database %I set default_transaction_read_only to off',
    found.owner,
    database,
  );
}

async function watchAgain({ admin, name }: OperatedServer, context: Attaching, table: string): Promise<void> {
  const [shape] = await shapesOf(admin, [table]);
  const key = shape?.columns.find(({ isKey }) => isKey)?.name;
  if (key === undefined) throw new SetupError(`${name}: ${table} has no primary key to log its rows by.`);
  await admin.begin((sql) => [
    sql.unsafe(`drop trigger if exists readback_change on ${table}`),
    sql.unsafe(`drop trigger if exists readback_truncate on ${table}`),
    sql`select readback.watch(${table}::regclass, ${key})`,
  ]);
  await startLogAnew(admin);
  await completeLogs(context);
}

async function ringAgain({ admin }: OperatedServer): Promise<void> {
  await admin.begin((sql) => [
    sql`drop trigger if exists ring on readback.heartbeat`,
    sql`create trigger ring after insert or update on readback.heartbeat for each row execute function readback.ring()`,
    sql`alter table readback.heartbeat enable always trigger ring`,
  ]);
}

async function grantRoles(server: OperatedServer, { servers }: Attaching): Promise<void> {
  const isPrimary = server === servers.primary;
  await grantAgain(server.admin, isPrimary ? 'primary' : 'replica', isPrimary ? PRIMARY_ROLES : REPLICA_ROLES);
  await allowLogin(server, server.urls.url, isPrimary ? PRIMARY_ROLES : REPLICA_ROLES);
}

async function copyAnew(replica: OperatedServer, context: Attaching): Promise<void> {
  const slot = await dropSubscription(replica);
  if (slot !== undefined) await dropSlot(context.servers.primary, slot);
  await attach(replica, context);
}

async function renewLogin({ admin }: OperatedServer, { servers, databases }: Attaching): Promise<void> {
  const [row] = await admin<[{ conninfo: string; slot: string }]>`
    select subconninfo as conninfo, subslotname::text as slot from pg_subscription
    where subname = 'readback' and subdbid = (select oid from pg_database where datname = current_database())`;
  const login = await makeReplicator(servers.primary.admin, row.slot);
  await allowCopy(servers.primary.admin, login.user);
  const conninfo = { ...parse(row.conninfo), ...fromUrl(replicationUrl(databases)), ...login };
  await runSecretly(admin, 'alter subscription readback connection %L', format(conninfo));
}
