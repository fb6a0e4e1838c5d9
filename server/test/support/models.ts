import postgres from 'postgres';
import { expect } from 'vitest';
import type { DatabaseConfig, DatabaseUrls } from '../../boot/config.ts';
import type { OwnServers } from './standby.ts';

/** What a provider gives the login of its customer, who is no superuser. docs/managed.md says which stands for whom. */
export interface Model {
  /** Of its databases. */
  name: string;
  /** In docs/managed.md. */
  title: string;
  primary: Grants;
  replica: Grants;
  /** A login that replicates is made by somebody else, and configured. */
  streamsAs?: true;
  /** A superuser makes the subscription, once. */
  isAwaited?: true;
}

/** 'superuser': a server of one's own. */
export type Grants = 'superuser' | { attributes: string; roles: string[]; functions: string[] };

const PROGRESS = 'pg_replication_origin_progress(text, boolean)';
const OWN_PROGRESS = 'pg_replication_origin_session_progress(boolean)';
const SHOW = 'pg_show_replication_origin_status()';
const MONITORING = ['pg_monitor', 'pg_read_all_data', 'pg_signal_backend'];

const bare = { attributes: 'createdb createrole replication', roles: ['pg_create_subscription'], functions: [] };
const all = { ...bare, roles: [...bare.roles, ...MONITORING], functions: [PROGRESS, OWN_PROGRESS, SHOW] };

const both = (grants: Grants) => ({ primary: grants, replica: grants });

export const MODELS = {
  /** Cloud SQL, Azure, AlloyDB. */
  M1: { name: 'm1', title: 'M1', ...both(all) },
  /** One that grants less. */
  M1_LESS: { name: 'm1_less', title: 'M1−', ...both({ ...all, roles: bare.roles }) },
  /** RDS, Aurora, Neon: of the functions of origins the slow one only. */
  M3: { name: 'm3', title: 'M3', ...both({ ...all, functions: [SHOW] }) },
  /** RDS, where replicating is another login's. */
  NR: {
    name: 'nr',
    title: 'NR',
    ...both({ ...all, attributes: 'createdb createrole noreplication' }),
    streamsAs: true,
  },
  /** PostgreSQL 15, where superusers alone subscribe. */
  AWAITED: { name: 'awaited', title: '15s', ...both({ ...all, roles: MONITORING }), streamsAs: true, isAwaited: true },
  /** Aiven, DigitalOcean, Supabase as the primary of replicas of one's own. */
  M0_PRIMARY: { name: 'm0_primary', title: 'M0 primary', primary: { ...bare, roles: [] }, replica: 'superuser' },
  /** The same as a replica. */
  M0_REPLICA: { name: 'm0_replica', title: 'M0 replica', primary: 'superuser', replica: bare },
} satisfies Record<string, Model>;

/**
 * ROLE_MODELS=m1,m3: the long histories run with these, on servers of their own. Left out: with a superuser, as one's own
 * servers have it.
 */
export function chosenModels(): (Model | undefined)[] {
  const names = process.env['ROLE_MODELS']?.split(',') ?? [];
  if (names.length === 0) return [undefined];
  const known: Model[] = Object.values(MODELS);
  return names.map((name) => {
    const model = known.find((one) => one.name === name);
    if (!model) throw new Error(`ROLE_MODELS has ${name}: expected some of ${known.map((one) => one.name).join(',')}`);
    return model;
  });
}

/** Of its databases. */
export const OWNER = 'owner';
export const STREAMER = 'streamer';
export const PASSWORD = 'secret';

export interface Managed {
  config: DatabaseConfig;
  database: string;
  /** As superuser, in that database. */
  primary: postgres.Sql;
  /** The first of the replicas. */
  replica: postgres.Sql;
  replicas: postgres.Sql[];
  end: () => Promise<void>;
}

/** Databases of a customer on all servers, as the model has them. One model at a time: it is one login. */
export async function manage(servers: OwnServers, model: Model, database = `of_${model.name}`): Promise<Managed> {
  const names = Object.keys(servers.servers).filter((name) => name !== 'primary');
  const primary = await databaseOf(servers, 'primary', model.primary, database);
  const replicas = await Promise.all(names.map((name) => databaseOf(servers, name, model.replica, database)));
  if (model.streamsAs) await makeStreamer(servers.admin('primary'));
  const streamer = Object.assign(new URL(primary.urls.adminUrl), { username: STREAMER, password: PASSWORD }).href;
  return {
    config: {
      primary: primary.urls,
      replicas: replicas.map(({ urls }) => urls),
      replicationUrl: model.streamsAs ? streamer : undefined,
    },
    database,
    primary: primary.sql,
    replica: replicas[0]!.sql,
    replicas: replicas.map(({ sql }) => sql),
    end: async () => void (await Promise.all([primary, ...replicas].map(({ sql }) => sql.end()))),
  };
}

async function databaseOf(
  servers: OwnServers,
  name: string,
  grants: Grants,
  database: string,
): Promise<{ urls: DatabaseUrls; sql: postgres.Sql }> {
  const { adminUrl } = servers.servers[name]!;
  const admin = servers.admin(name);
  await makeOwner(admin);
  await admin.unsafe(`create database ${database} owner ${OWNER}`);
  const sql = postgres(inDatabase(adminUrl, database), { max: 4, onnotice: () => {} });
  if (grants !== 'superuser') await grant(sql, grants);
  const owner = grants === 'superuser' ? {} : { username: OWNER, password: PASSWORD };
  const urls = {
    url: inDatabase(adminUrl, database, { username: 'app', password: PASSWORD }),
    adminUrl: inDatabase(adminUrl, database, owner),
  };
  return { urls, sql };
}

const inDatabase = (url: string, database: string, login: { username?: string; password?: string } = {}) =>
  Object.assign(new URL(url), { pathname: `/${database}`, ...login }).href;

async function makeOwner(admin: postgres.Sql): Promise<void> {
  const made = await admin`select from pg_roles where rolname = ${OWNER}`;
  if (made.length === 0) await admin.unsafe(`create role ${OWNER} login password '${PASSWORD}'`);
}

/** Takes away what an earlier model has given. */
async function grant(sql: postgres.Sql, { attributes, roles, functions }: Exclude<Grants, string>): Promise<void> {
  await sql.unsafe(`alter role ${OWNER} nosuperuser ${attributes}`);
  const others = await sql`
    select g.rolname from pg_auth_members m join pg_roles g on g.oid = m.roleid join pg_roles u on u.oid = m.member
    where u.rolname = ${OWNER} and g.rolname like 'pg\\_%' and g.rolname::text <> all(${roles}::text[])`;
  for (const { rolname } of others) await sql.unsafe(`revoke ${rolname} from ${OWNER}`);
  if (roles.length > 0) await sql.unsafe(`grant ${roles.join(', ')} to ${OWNER}`);
  for (const one of functions) await sql.unsafe(`grant execute on function ${one} to ${OWNER}`);
}

async function makeStreamer(admin: postgres.Sql): Promise<void> {
  const made = await admin`select from pg_roles where rolname = ${STREAMER}`;
  if (made.length === 0) await admin.unsafe(`create role ${STREAMER} login replication password '${PASSWORD}'`);
}

/** What PostgreSQL says that the login may, on the primary and on the replica. */
export const rightsIn = ({ primary, replica }: Managed) => Promise.all([primary, replica].map(rightsOf));

async function rightsOf(sql: postgres.Sql) {
  const [rights] = await sql`
    select rolsuper as super, array(select r.rolname::text from pg_roles r where r.rolname like 'pg\\_%'
        and exists (select from pg_auth_members m where m.member = u.oid and m.roleid = r.oid) order by 1) as roles,
      array(select p.proname::text from pg_proc p where p.proname like 'pg\\_%replication\\_origin\\_%'
        and has_function_privilege(u.oid, p.oid, 'execute') order by 1) as functions
    from pg_roles u where rolname = ${OWNER}`;
  return rights;
}

/** And what the model says: of a server of one's own nothing. */
export const rightsBy = ({ primary, replica }: Model): unknown[] => [primary, replica].map(grantedBy);

const grantedBy = (grants: Grants): unknown =>
  grants === 'superuser'
    ? expect.anything()
    : {
        super: false,
        roles: grants.roles.toSorted(),
        functions: grants.functions.map((one) => one.replace(/\(.*/, '')).toSorted(),
      };
