import { block, literal } from '../database/sql/columns.ts';
import { subscriptionOf } from '../database/sql/subscriptions.ts';
import { join } from 'node:path';
import type { DatabaseConfig } from '../boot/config.ts';
import { quoted } from '../database/connect.ts';
import { parseDatabaseUrl } from '../lib/database-url.ts';
import { projectRoot } from '../lib/root.ts';
import { format, fromUrl, type Conninfo } from './conninfo.ts';
import { ROLES, verifierOf } from './logins.ts';
import { scriptOf, seriesIn } from './migrations.ts';
import { lastNoted } from './partitions.ts';
import { keepsSlots, slotName } from './replicate.ts';
import { withServers, type OperatedServer, type Servers, type Side } from './servers.ts';
import { replicationUrl, type SetupConfig } from './setup.ts';

/** SQL for one server, for psql, with no password in it. */
export interface Script {
  server: string;
  at: string;
  sql: string;
}

/** What psql is to be told with -v, where a script speaks of it. */
export const PASSWORD = 'replication_password';

/**
 * What `migrate` would do, as scripts to be run one after the other by whoever may. Of a pair in use the replicas come
 * before the primary, so that no apply worker meets a change that its tables cannot take. Changes nothing.
 */
export function printSetUp(
  databases: DatabaseConfig,
  config: SetupConfig,
  sqlFolder = join(projectRoot, 'sql'),
): Promise<Script[]> {
  return withServers(databases, config, 'print', async (servers) => {
    const { primary, replicas } = servers;
    const files = (side: Side, server: OperatedServer) => scriptOf(server, seriesIn(sqlFolder, side));
    const wanted = fromUrl(replicationUrl(databases));
    const plan: Plan = { config, wanted, servers };
    const before: Script[] = [];
    const after: Script[] = [];
    const slots: string[] = [];
    for (const replica of replicas) {
      const news = await files('replica', replica);
      const base = await beginning(replica, 'replica', news && `${news}\n\nselect readback.watch_again();`);
      const isFollowing = (await subscriptionOf(replica.admin)) !== null;
      slots.push(await slotName(replica.admin));
      const rest = isFollowing ? 'alter subscription readback refresh publication;' : await subscribing(replica, plan);
      if (isFollowing) before.push(scriptFor(replica, base));
      after.push(scriptFor(replica, isFollowing ? [rest] : [...base, rest]));
    }
    const own = await beginning(primary, 'primary', await files('primary', primary));
    return [...before, scriptFor(primary, [...own, ...(await sending(plan, slots))]), ...after];
  });
}

interface Plan {
  config: SetupConfig;
  /** How replicas reach the primary. */
  wanted: Conninfo;
  servers: Servers;
}

const scriptFor = ({ name, at }: OperatedServer, parts: string[]): Script => ({
  server: name,
  at,
  sql: `${parts.filter((part) => part !== '').join('\n\n')}\n`,
});

/** Roles, what is new under sql/, and the login of the server that is to run. */
async function beginning({ urls }: OperatedServer, side: Side, files: string): Promise<string[]> {
  const { user = '', password } = parseDatabaseUrl(urls.url);
  const secret = password === '' ? '' : ` password ${literal(await verifierOf(password))}`;
  return [
    ROLES[side].map((role) => unlessThere(role, `create role ${role} nologin`)).join('\n'),
    files,
    [
      unlessThere(user, `create role ${quoted(user)} login${secret}`),
      `grant ${ROLES[side].join(', ')} to ${quoted(user)};`,
    ].join('\n'),
  ];
}

const unlessThere = (role: string, statement: string) =>
  `${block(`if not exists (select from pg_roles where rolname = ${literal(role)}) then ${statement}; end if;`)};`;

/** The logins that the replicas stream as, what they may copy, and a slot for each replica that has none. */
async function sending({ wanted, servers: { primary, replicas } }: Plan, slots: string[]): Promise<string[]> {
  const made = wanted['user'] === undefined;
  const logins = made ? slots : [wanted['user']!];
  const failover = (await keepsSlots(primary.admin, ...replicas.map(({ admin }) => admin))) ? ', true' : '';
  // What an earlier print has had made is there.
  const known = await primary.admin<{ name: string }[]>`
    select rolname::text as name from pg_roles union all select slot_name::text || ' slot' from pg_replication_slots`;
  const lacks = (what: string) => !known.some(({ name }) => name === what);
  return [
    'begin;',
    ...(made ? slots : [])
      .filter(lacks)
      .map((slot) => `create role ${quoted(slot)} login replication password :'${PASSWORD}';`),
    ...logins.map(copying),
    // A slot is made by a transaction that has written nothing.
    'commit;',
    ...slots
      .filter((slot) => lacks(`${slot} slot`))
      .map(
        (slot) => `select pg_create_logical_replication_slot(${literal(slot)}, 'pgoutput', false, false${failover});`,
      ),
  ];
}

/** The published columns and no others; a copy that row level security would leave rows out of fails instead. */
const copying = (login: string) =>
  `${block(
    `
  for t in
    select p.schemaname, p.tablename, (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
      where a.attrelid = format('%I.%I', p.schemaname, p.tablename)::regclass and a.attname = any(p.attnames)
        and (a.attgenerated = '' or current_setting('server_version_num')::int >= 180000)) as columns
    from pg_publication_tables p where p.pubname = 'readback'
  loop
    execute format('grant usage on schema %I to %I', t.schemaname, ${literal(login)});
    execute format('grant select (%s) on %I.%I to %I', t.columns, t.schemaname, t.tablename, ${literal(login)});
  end loop;
  execute format('alter role %I in database %I set row_security to off', ${literal(login)}, current_database());
`,
    'declare t record; ',
  )};`;

/** The slot is there already, so that the subscription can be made in a block, where the password is put into it. */
async function subscribing({ admin }: OperatedServer, { config, wanted, servers }: Plan): Promise<string> {
  const slot = await slotName(admin);
  const known: Conninfo = { ...wanted, user: wanted['user'] ?? slot, application_name: slot };
  delete known['password'];
  const failover = (await keepsSlots(servers.primary.admin, admin)) ? ', failover = true' : '';
  const commit = config.REPLICA_SYNCHRONOUS_COMMIT;
  const noted = await lastNoted(servers.primary.admin);
  return `select set_config('readback.password', :'${PASSWORD}', false) is null as password_told;
${block(`
  execute format('create subscription readback connection %L publication readback
    with (create_slot = false, slot_name = %L, streaming = on, synchronous_commit = ${commit}${failover})',
    ${literal(format(known))} || ' password=' || quote_literal(current_setting('readback.password')), ${literal(slot)});
`)};
update readback.log_state set may_lose = ${commit === 'off'}, partition_changes_to = ${noted};
insert into readback.connection (verifier) values (${literal(await verifierOf(format(wanted)))})
  on conflict (id) do update set verifier = excluded.verifier;`;
}
