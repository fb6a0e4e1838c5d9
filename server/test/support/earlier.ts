import { createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type postgres from 'postgres';
import { projectRoot } from '../../lib/root.ts';
import { format, fromUrl } from '../../setup/conninfo.ts';
import { runFormatted } from '../../setup/logins.ts';
import { formatDatabaseUrl, parseDatabaseUrl } from '../../lib/database-url.ts';
import { freshDatabases, type TestDatabases } from './databases.ts';

/** What clients of the first release held. */
export interface Held {
  /** Of ada, who is signed in. */
  token: string;
  /** Of the write that published the post First. */
  bookmark: string;
  /** Of the first of three changes of one transaction. */
  cursor: string;
}

const read = (file: string) => readFileSync(join(projectRoot, 'server/test/fixtures/earlier', file), 'utf8');

/** A pair as the first release set it up, as it was before any later release saw it. */
export async function restoreEarlier(): Promise<{ databases: TestDatabases; held: Held }> {
  const databases = await freshDatabases({ settle: false });
  const { primary } = databases;
  const replica = databases.replicas[0]!;
  const { origin, ...held } = JSON.parse(read('clients.json')) as Held & { origin: string };
  await pass(primary, origin);
  await primary.unsafe(read('primary.sql'));
  await replica.unsafe(read('replica.sql'));
  await grantLogins(primary, ['readback_writer', 'readback_reader', 'readback_pruner']);
  await grantLogins(replica, ['readback_reader', 'readback_pruner']);
  await subscribe(databases, origin);
  return { databases, held: await ofThis(primary, held) };
}

/** The positions that the replica and the clients hold are of another cluster: this one has to be past them. */
async function pass(primary: postgres.Sql, position: string): Promise<void> {
  const isPast = async () => {
    const [row] = await primary<[{ past: boolean }]>`select pg_current_wal_insert_lsn() > ${position} as past`;
    return row.past;
  };
  while (!(await isPast())) {
    await primary`select pg_logical_emit_message(false, 'test', '')`;
    await primary`select pg_switch_wal()`;
  }
}

async function grantLogins(sql: postgres.Sql, roles: string[]): Promise<void> {
  await sql.unsafe(`grant ${roles.join(', ')} to readback`);
}

/** With the options, slot, login and rights that the first release gave it. */
async function subscribe({ config, primary, replicas: [replica] }: TestDatabases, origin: string): Promise<void> {
  const [{ identity }] = await replica!<[{ identity: string }]>`
    select (select system_identifier from pg_control_system()) || '/' || current_database() as identity`;
  const slot = `readback_${createHash('sha256').update(identity).digest('hex').slice(0, 12)}`;
  await primary.unsafe(`create role ${slot} login replication password 'earlier'`);
  await primary.unsafe(`grant usage on schema public, readback to ${slot}`);
  await primary.unsafe(`grant select on posts, readback.heartbeat to ${slot}`);
  await primary.unsafe(`grant select
    (id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at, is_admin, token_version)
    on users to ${slot}`);
  const url = formatDatabaseUrl({ ...parseDatabaseUrl(config.primary.adminUrl), user: slot, password: 'earlier' });
  await runFormatted(
    replica! as never,
    `create subscription readback connection %L publication readback
     with (slot_name = %L, streaming = on, failover = true, copy_data = false, enabled = false)`,
    format({ ...fromUrl(url), application_name: slot }),
    slot,
  );
  await replica!`
    select pg_replication_origin_advance('pg_' || oid, ${origin}) from pg_subscription
    where subdbid = (select oid from pg_database where datname = current_database())`;
  await replica!`alter subscription readback enable`;
}

/** A bookmark and a cursor name their cluster, and a token its end: they become this one's, and one that is yet to come. */
async function ofThis(primary: postgres.Sql, { token, bookmark, cursor }: Held): Promise<Held> {
  const [{ cluster }] = await primary<[{ cluster: string }]>`
    select system_identifier::text as cluster from pg_control_system()`;
  const [{ secret }] = await primary<[{ secret: Buffer }]>`select secret from readback.signing_keys`;
  return {
    token: prolonged(token, secret),
    bookmark: withCluster(bookmark, 1, cluster),
    cursor: withCluster(cursor, 2, cluster),
  };
}

function withCluster(text: string, offset: number, cluster: string): string {
  const bytes = Buffer.from(text, 'base64url');
  bytes.writeBigUInt64BE(BigInt(cluster), offset);
  return bytes.toString('base64url');
}

const LIFETIME_S = 900;

function prolonged(token: string, secret: Buffer): string {
  const [header, payload] = token.split('.') as [string, string];
  const now = Date.now() / 1000;
  const claims = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), auth_time: now, exp: now + LIFETIME_S };
  const signed = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}
