import type { Sql } from '../database/connect.ts';

/** Who runs a PostgreSQL for others, where nobody is a superuser and settings are changed by the provider's own means. */
export interface Provider {
  name: string;
  /** Roles and settings that no other PostgreSQL has: one of them is enough. */
  roles: string[];
  settings?: string[];
  /** Where a setting is changed, in words that go on after `set … = … in`. */
  parameters: string;
  /** Settings that have another name there, or none: the whole remedy. */
  own?: Record<string, string>;
  /** Who may grant what a role of the database lacks. */
  grants: string;
  /** How a login comes to replicate, where `alter role … replication` is refused. */
  replication?: string;
}

const RESTART = 'and restart it.';

/** From their documents; docs/managed.md says what of it was tried. The first that fits. */
export const PROVIDERS: Provider[] = [
  {
    name: 'Amazon RDS or Aurora',
    roles: ['rds_superuser', 'rdsadmin'],
    settings: ['rds.extensions', 'rds.logical_replication'],
    parameters: 'the DB parameter group (of Aurora the DB cluster parameter group)',
    own: {
      wal_level: `Set rds.logical_replication = 1 in the DB parameter group (of Aurora the DB cluster parameter group), ${RESTART}`,
    },
    grants: 'a member of rds_superuser',
    replication: 'grant rds_replication to',
  },
  {
    name: 'Google AlloyDB',
    roles: ['alloydbsuperuser'],
    settings: ['alloydb.logical_decoding'],
    parameters: 'the database flags of the instance',
    own: { wal_level: `Set the flag alloydb.logical_decoding = on, ${RESTART}` },
    grants: 'a member of alloydbsuperuser',
  },
  {
    name: 'Google Cloud SQL',
    roles: ['cloudsqlsuperuser', 'cloudsqladmin'],
    settings: ['cloudsql.logical_decoding'],
    parameters: 'the flags of the instance',
    own: { wal_level: `Set the flag cloudsql.logical_decoding = on, ${RESTART}` },
    grants: 'a member of cloudsqlsuperuser',
  },
  {
    name: 'Azure Database for PostgreSQL',
    roles: ['azure_pg_admin', 'azuresu'],
    settings: ['azure.extensions'],
    parameters: 'the server parameters',
    grants: 'a member of azure_pg_admin',
  },
  {
    name: 'Neon',
    roles: ['neon_superuser'],
    settings: ['neon.timeline_id', 'neon.tenant_id'],
    parameters: 'the settings of the project, or ask their support,',
    own: {
      wal_level: "Enable logical replication in the project's settings.",
      track_commit_timestamp: 'Neon does not offer it: a database there can be the primary, and no replica.',
    },
    grants: 'a member of neon_superuser',
    replication: 'make it in the console of Neon, whose roles may replicate, in place of',
  },
  {
    name: 'Supabase',
    roles: ['supabase_admin'],
    settings: ['supautils.superuser', 'supautils.privileged_role'],
    parameters: "the project's configuration (supabase postgres-config update)",
    grants: 'the login postgres',
  },
  {
    name: 'Aiven',
    roles: ['avnadmin'],
    settings: ['aiven.pg_security_agent_disabled'],
    parameters: 'the advanced configuration of the service',
    grants: 'the login avnadmin',
  },
  {
    name: 'DigitalOcean',
    roles: ['doadmin'],
    parameters: 'the configuration of the cluster (doctl databases configuration update)',
    grants: 'the login doadmin',
  },
];

/** By what is there: the same database answers the same to anybody. Null: somebody's own server. */
export async function providerOf(sql: Sql): Promise<Provider | null> {
  const names = (kind: 'roles' | 'settings') => sql.json(PROVIDERS.flatMap((provider) => provider[kind] ?? []));
  const rows = await sql<{ name: string }[]>`
    select rolname::text as name from pg_roles
    where rolname = any(array(select jsonb_array_elements_text(${names('roles')})))
    union all
    select name from jsonb_array_elements_text(${names('settings')}) as name where current_setting(name, true) is not null`;
  const found = new Set(rows.map(({ name }) => name));
  return PROVIDERS.find(({ roles, settings = [] }) => [...roles, ...settings].some((name) => found.has(name))) ?? null;
}

/** How a setting is changed there: as one does on a server of one's own, or as its provider has it. */
export function toSet(provider: Provider | null, setting: string, value: string, how: 'restart' | 'reload'): string {
  if (provider) return provider.own?.[setting] ?? inParameters(provider, setting, value, how);
  const then = how === 'restart' ? 'and restart PostgreSQL.' : 'select pg_reload_conf();';
  return `Run there: alter system set ${setting} = ${value}; ${then}`;
}

const inParameters = ({ name, parameters }: Provider, setting: string, value: string, how: string) =>
  `Set ${setting} = ${value.replaceAll("'", '')} in ${parameters} of ${name}${how === 'restart' ? `, ${RESTART}` : '.'}`;

/** A statement that a login without rights may not run itself. */
export const toGrant = (provider: Provider | null, statement: string): string =>
  `Run there as ${provider?.grants ?? 'a superuser'}: ${statement};`;

/** How a login there comes to replicate, and to drop slots. */
export const toReplicate = (provider: Provider | null, login: string): string =>
  provider?.replication
    ? `There: ${provider.replication} ${login};`
    : toGrant(provider, `alter role ${login} replication`);
