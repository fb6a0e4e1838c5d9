import type { Config } from '../boot/config.ts';
import type { Sql } from '../database/connect.ts';
import { ours } from '../database/sql/subscriptions.ts';
import { parseDatabaseUrl } from '../lib/database-url.ts';
import { keepsRows, maySet, mayStream, ROLES, takesOn } from './logins.ts';
import { toGrant, toReplicate, type Provider } from './providers.ts';
import type { Basics, Server, Side } from './servers.ts';

/** What the login that sets a server up may do there; a superuser may all. */
export interface Rights {
  login: string;
  database: string;
  mayMakeRoles: boolean;
  mayCreate: boolean;
  /** Roles of Readback's that somebody else made, and which it may not pass on. */
  notPassedOn: string[];
  /** Tables that are published already, and that it may not let replicas copy. */
  notCopied: string[];
  /** Whose the schema readback is, where that is somebody else; null: its own, or not there. */
  schemaOwner: string | null;
  mayReplicate: boolean;
  maySubscribe: boolean;
  /** Whose the subscription is, where that is somebody else. */
  subscriptionOwner: string | null;
  /** It sees what sessions of others do. */
  seesSessions: boolean;
  /** It may ask how far the origin is, as the server does, and inside the apply worker. */
  asksOrigin: boolean;
  asksOwnOrigin: boolean;
}

/** The login that the replicas stream as, as the primary has it. */
export interface StreamsAs {
  login: string;
  exists: boolean;
  mayReplicate: boolean;
  /** It has row_security = off in this database, or can be given it. */
  canBeSet: boolean;
}

/** How the replicas are to be subscribed, as it is configured. */
export interface Plan {
  isAwaited: boolean;
  /** Null: each gets a login that set-up makes. */
  streamsAs: StreamsAs | null;
  hasPassword: boolean;
}

/** A right that set-up needs; `told` without an end, and the remedy as whole sentences. */
export interface Right {
  of?: Side;
  lacks: (own: Basics & Rights, plan: Plan) => boolean;
  found: (own: Basics & Rights, plan: Plan) => string;
  remedy: (own: Basics & Rights, plan: Plan) => string;
}

const ADMIN_URL = 'Or name a login that may: PRIMARY_ADMIN_URL, REPLICA_ADMIN_URLS.';

const granted = ({ provider }: { provider: Provider | null }, statement: string) =>
  `${toGrant(provider, statement)} ${ADMIN_URL}`;

const ORIGIN =
  'which tells how far a replica is: without it the apply worker could not log a change, and would fail for ever';

export const RIGHTS: Right[] = [
  {
    lacks: ({ mayMakeRoles }) => !mayMakeRoles,
    found: ({ login }) => `the login ${login} may not make roles and logins (CREATEROLE)`,
    remedy: (own) => granted(own, `alter role ${own.login} createrole`),
  },
  {
    lacks: ({ mayCreate }) => !mayCreate,
    found: ({ login, database }) => `the login ${login} may not make a schema in the database ${database} (CREATE)`,
    remedy: (own) => granted(own, `grant create on database ${own.database} to ${own.login}`),
  },
  {
    lacks: ({ schemaOwner }) => schemaOwner !== null,
    found: ({ login, schemaOwner }) =>
      `the login ${login} is not the owner of the schema readback, which ${schemaOwner} is`,
    remedy: ({ schemaOwner }) =>
      `Name ${schemaOwner} in PRIMARY_ADMIN_URL or REPLICA_ADMIN_URLS, or a login that is a member of it.`,
  },
  {
    lacks: ({ notPassedOn }) => notPassedOn.length > 0,
    found: ({ login, notPassedOn }) => `the login ${login} may not grant ${notPassedOn.join(', ')} to others`,
    remedy: (own) => granted(own, `grant ${own.notPassedOn.join(', ')} to ${own.login} with admin option`),
  },
  {
    of: 'primary',
    lacks: ({ notCopied }) => notCopied.length > 0,
    found: ({ login, notCopied }) =>
      `the login ${login} may not let replicas copy ${notCopied.join(', ')}, of which it is not the owner`,
    remedy: (own) => granted(own, `grant select on ${own.notCopied.join(', ')} to ${own.login} with grant option`),
  },
  {
    of: 'primary',
    lacks: ({ isSuperuser, version, mayReplicate }, { streamsAs }) =>
      streamsAs === null && !isSuperuser && (version < 160_000 || !mayReplicate),
    found: ({ login, version }) =>
      `the login ${login} may not make logins that replicate${version < 160_000 ? ', as up to PostgreSQL 15 superusers alone do' : ''}`,
    remedy: ({ version, provider, login }) =>
      `Name one in PRIMARY_REPLICATION_URL, with its password${provider?.replication ? ` (${provider.replication} that login)` : ''}.` +
      (version < 160_000 || provider?.replication
        ? ''
        : ` Or: ${toGrant(provider, `alter role ${login} replication`)}`),
  },
  {
    of: 'primary',
    lacks: (_, { streamsAs }) => streamsAs !== null && !streamsAs.exists,
    found: (_, { streamsAs }) =>
      `there is no login ${streamsAs!.login}, which PRIMARY_REPLICATION_URL names for the replicas`,
    remedy: ({ provider }, { streamsAs }) =>
      toGrant(provider, `create role ${streamsAs!.login} login replication password '…'`),
  },
  {
    of: 'primary',
    lacks: (_, { streamsAs }) => streamsAs?.exists === true && !streamsAs.mayReplicate,
    found: (_, { streamsAs }) => `the login ${streamsAs!.login} of PRIMARY_REPLICATION_URL may not replicate`,
    remedy: ({ provider }, { streamsAs }) => toReplicate(provider, streamsAs!.login),
  },
  {
    of: 'primary',
    lacks: (_, { streamsAs }) => streamsAs?.exists === true && !streamsAs.canBeSet,
    found: ({ login }, { streamsAs }) =>
      `the login ${login} may not set row_security = off for ${streamsAs!.login}, which has copies fail rather than leave rows out`,
    remedy: ({ provider, database }, { streamsAs }) =>
      `Put its password into PRIMARY_REPLICATION_URL, so that it does so itself. Or: ${toGrant(provider, `alter role ${streamsAs!.login} in database ${database} set row_security = off`)}`,
  },
  {
    of: 'replica',
    lacks: ({ maySubscribe }, { isAwaited }) => !isAwaited && !maySubscribe,
    found: ({ login, version }) =>
      `the login ${login} may not subscribe${version < 160_000 ? ', as up to PostgreSQL 15 superusers alone do' : ' (pg_create_subscription)'}`,
    remedy: (own) =>
      own.version < 160_000
        ? `Name a superuser in REPLICA_ADMIN_URLS. Or have one make the subscription, and set SUBSCRIPTIONS=awaited.`
        : granted(own, `grant pg_create_subscription to ${own.login}`),
  },
  {
    of: 'replica',
    lacks: ({ isSuperuser }, { isAwaited, streamsAs, hasPassword }) =>
      !isSuperuser && !isAwaited && streamsAs !== null && !hasPassword,
    found: ({ login }) => `the login ${login} may not subscribe without a password, as superusers alone do`,
    remedy: (_, { streamsAs }) => `Put the password of ${streamsAs!.login} into PRIMARY_REPLICATION_URL.`,
  },
  {
    of: 'replica',
    lacks: ({ subscriptionOwner }, { isAwaited }) => !isAwaited && subscriptionOwner !== null,
    found: ({ subscriptionOwner }) => `its subscription readback belongs to ${subscriptionOwner}`,
    remedy: (own) => granted(own, `alter subscription readback owner to ${own.login}`),
  },
  {
    of: 'replica',
    lacks: ({ seesSessions, subscriptionOwner }, { isAwaited }) =>
      !seesSessions && (isAwaited || subscriptionOwner !== null),
    found: ({ login }) =>
      `the login ${login} may not see what the apply worker of somebody else does (pg_read_all_stats), which tells when a position counts`,
    remedy: (own) => granted(own, `grant pg_read_all_stats to ${own.login}`),
  },
  {
    of: 'replica',
    lacks: ({ asksOrigin, asksOwnOrigin }) => !asksOrigin || !asksOwnOrigin,
    found: ({ login }) => `the login ${login} may not call pg_show_replication_origin_status(), ${ORIGIN}`,
    remedy: ({ provider, login }) =>
      `${toGrant(provider, `grant execute on function pg_show_replication_origin_status() to ${login}`)} ` +
      'Where nobody may, the database can be the primary, and no replica.',
  },
];

/**
 * Asked of every version, and of anybody. Of roles that a version does not have nobody is a member. `login` is the
 * server's.
 */
export async function rightsOf(sql: Sql, side: Side, login: string): Promise<Rights> {
  const member = (role: string) => sql`
    exists (select from pg_roles r where r.rolname = ${role} and pg_has_role(current_user, r.oid, 'usage'))`;
  const calls = (name: string) => sql`
    has_function_privilege(${`pg_catalog.${name}`}, 'execute')`;
  const [rights] = await sql<[Rights]>`
    select current_user::text as login, current_database()::text as database,
           rolsuper or rolcreaterole as may_make_roles,
           has_database_privilege(current_database(), 'create') as may_create,
           rolsuper or rolreplication as may_replicate,
           rolsuper or ${member('pg_create_subscription')} as may_subscribe,
           ${member('pg_read_all_stats')} as sees_sessions,
           ${calls('pg_show_replication_origin_status()')} or ${calls('pg_replication_origin_progress(text, boolean)')} as asks_origin,
           ${calls('pg_show_replication_origin_status()')} or ${calls('pg_replication_origin_session_progress(boolean)')} as asks_own_origin,
           (select pg_get_userbyid(nspowner)::text from pg_namespace
            where nspname = 'readback' and not pg_has_role(current_user, nspowner, 'usage')) as schema_owner,
           (select pg_get_userbyid(subowner)::text from pg_subscription s
            where ${ours(sql)} and not pg_has_role(current_user, subowner, 'usage')) as subscription_owner,
           ${notPassedOn(sql, side, login)} as not_passed_on,
           (select coalesce(json_agg(r.prrelid::regclass::text order by 1), '[]')
            from pg_publication p join pg_publication_rel r on r.prpubid = p.oid
            where pubname = 'readback' and not has_any_column_privilege(r.prrelid, 'select with grant option')) as not_copied
    from pg_roles u where rolname = current_user`;
  return rights;
}

/** Up to 15 CREATEROLE is enough, and so it is where the server's login may take them on already. */
const notPassedOn = (sql: Sql, side: Side, login: string) => sql`(
  select coalesce(json_agg(r.rolname order by r.rolname), '[]') from pg_roles r
  where r.rolname in ${sql(ROLES[side])} and not pg_has_role(current_user, r.oid, 'member with admin option')
    and current_setting('server_version_num')::int >= 160000 and not ${takesOn(sql, login)})`;

export async function planOf(
  { admin, replicationUrl }: Server,
  { SUBSCRIPTIONS }: Pick<Config, 'SUBSCRIPTIONS'>,
): Promise<Plan> {
  const { user, password } = replicationUrl === undefined ? {} : parseDatabaseUrl(replicationUrl);
  const hasPassword = password !== undefined && password !== '';
  const plan = { isAwaited: SUBSCRIPTIONS === 'awaited', hasPassword, streamsAs: null };
  if (user === undefined) return plan;
  const [found] = await admin<[Omit<StreamsAs, 'login' | 'exists'>?]>`
    select ${mayStream(admin)} as may_replicate,
           ${hasPassword} or ${maySet(admin)} or ${keepsRows(admin)} as can_be_set
    from pg_roles u where rolname = ${user}`;
  const streamsAs = { login: user, exists: found !== undefined, mayReplicate: false, canBeSet: false, ...found };
  return { ...plan, streamsAs };
}
