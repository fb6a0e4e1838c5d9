import { createHash, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hash } from 'argon2';
import postgres from 'postgres';

const dist = new URL('../../../dist/', import.meta.url);

/** Postings of the disk are no part of any question: fsync is off for all variants alike. */
const SETTINGS = { fsync: 'off', max_wal_size: '4GB', shared_buffers: '256MB', max_connections: '300' };
const PASSWORD = 'correct horse battery';

const open = new Set();

/** For whoever is stopped in the middle. */
export const stopBeds = () => Promise.all([...open].map((stop) => stop()));

/** A fresh primary and its replicas, set up and filled; `stop` undoes all of it. */
export async function startBed({ users, replicas = 1, postsPerUser = 5, say = () => {} }) {
  const dir = mkdtempSync(join(tmpdir(), 'readback-bench-'));
  const names = Array.from({ length: replicas }, (_, index) => `replica-${index + 1}`);
  const control = await startServers(dir, ['primary', ...names]);
  const urls = { primary: control.servers.primary, replicas: names.map((name) => control.servers[name]) };
  const [primary, ...replicaSqls] = [urls.primary, ...urls.replicas].map(({ adminUrl }) =>
    postgres(adminUrl, { max: 4, onnotice() {} }),
  );
  const close = async () => {
    await Promise.all([primary, ...replicaSqls].map((sql) => sql.end({ timeout: 1 })));
    await control.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  let closed;
  const stop = () => (closed ??= close());
  open.add(stop);
  const bed = { dir, urls, primary, replica: replicaSqls[0], replicas: replicaSqls, users: 0, stop };
  try {
    await setUp(urls);
    await addAccounts(primary);
    await grow(bed, users, { postsPerUser, say });
  } catch (error) {
    await stop();
    throw error;
  }
  return bed;
}

async function startServers(dir, names) {
  const { startEmbeddedServers } = await import(new URL('infra/cluster/embedded.js', dist));
  const servers = names.map((name) => ({ name, port: 0 }));
  return startEmbeddedServers({ dir, servers, say() {}, settings: SETTINGS });
}

async function setUp({ primary, replicas }) {
  const { setUp: set } = await import(new URL('server/setup/setup.js', dist));
  const { readConfig } = await import(new URL('server/config.js', dist));
  await set({ primary, replicas, replicationUrl: undefined }, readConfig({}), () => {});
}

/** Who reads is a user like any other, so that each answer passes the access checks; who writes is an administrator. */
export const ACCOUNTS = { reader: PASSWORD, administrator: PASSWORD };

async function addAccounts(primary) {
  const hashed = await hash(PASSWORD, { memoryCost: 19_456, timeCost: 2, parallelism: 1 });
  for (const name of Object.keys(ACCOUNTS)) {
    await primary`insert into users (username, email, password_hash, is_admin, created_at)
      values (${name}, ${`${name}@example.com`}, ${hashed}, ${name === 'administrator'}, '2020-01-01')`;
  }
}

/** Users up to this number, with posts. The change log has no use for them: its triggers rest while they are copied. */
export async function grow(bed, users, { postsPerUser = 5, say = () => {} } = {}) {
  say(`loading ${users.toLocaleString('en')} users and ${(users * postsPerUser).toLocaleString('en')} posts`);
  await logging(bed, 'disable');
  await bed.primary`
    insert into users (id, username, email, password_hash, first_name, last_name, created_at, updated_at)
    select md5('user' || n)::uuid, 'user' || n, 'user' || n || '@example.com', '-', 'First' || n, 'Last' || n,
      '2026-01-01'::timestamptz + n * interval '1 second', '2026-01-01'::timestamptz + n * interval '1 second'
    from generate_series(${bed.users + 1}::int, ${users}::int) n`;
  await bed.primary`
    insert into posts (id, author_id, title, body, published_at, created_at, updated_at)
    select md5('post' || n || '.' || k)::uuid, md5('user' || n)::uuid, 'Post ' || k || ' of ' || n, repeat('text ', 20), at, at, at
    from generate_series(${bed.users + 1}::int, ${users}::int) n, generate_series(1, ${postsPerUser}::int) k,
      lateral (select '2026-01-01'::timestamptz + n * interval '1 second' + k * interval '1 millisecond' as at) moment`;
  bed.users = users;
  await settled(bed);
  await logging(bed, 'enable always');
  for (const sql of [bed.primary, ...bed.replicas]) await sql`vacuum (analyze) users, posts`;
  for (const sql of [bed.primary, ...bed.replicas]) await sql`checkpoint`;
}

async function logging({ replicas }, how) {
  for (const sql of replicas)
    for (const table of ['users', 'posts']) await sql.unsafe(`alter table ${table} ${how} trigger readback_change`);
}

/** Everything that was written is on every replica. */
export async function settled({ primary, replicas }) {
  const marker = randomUUID();
  await primary`update users set last_name = ${marker} where username = 'reader'`;
  for (const sql of replicas)
    while ((await sql`select from users where username = 'reader' and last_name = ${marker}`).length === 0)
      await sleep(10);
}

export const userId = (n) => uuidOf(`user${n}`);

function uuidOf(text) {
  const hex = createHash('md5').update(text).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** Of these many users, evenly from all over the table, in an order that is the same in every run. */
export function sampleOf(users, many) {
  const step = 7919;
  return Array.from({ length: many }, (_, index) => 1 + ((index * step) % users));
}
