import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { hash } from 'argon2';
import postgres from 'postgres';
import { root } from '../../launch/child.mjs';

const run = promisify(execFile);

const SETTINGS = { max_wal_size: '4GB', shared_buffers: '256MB', max_connections: '300' };
const PASSWORD = 'correct horse battery';

const open = new Set();

/** The servers of all beds are of one version, and flush alike: what they are; undefined before the first one. */
export let postgresql;

/** For whoever is stopped in the middle. */
export const stopBeds = () => Promise.all([...open].map((stop) => stop()));

/**
 * A fresh primary and its replicas, set up by the Readback that is built in `home`, and filled; `stop` undoes all of it.
 * The servers themselves are started by today's code in any case, with the same settings.
 */
export async function startBed({ users, fsync, home = root, replicas = 1, postsPerUser = 5, say = () => {} }) {
  const dir = mkdtempSync(join(tmpdir(), 'readback-bench-'));
  const names = Array.from({ length: replicas }, (_, index) => `replica-${index + 1}`);
  const control = await startServers(dir, ['primary', ...names], fsync);
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
  const bed = { dir, home, urls, primary, replica: replicaSqls[0], replicas: replicaSqls, users: 0, stop };
  try {
    [postgresql] = await primary`
      select split_part(version(), ' ', 2) as version, current_setting('fsync') as fsync`;
    await setUp(home, urls);
    await addAccounts(primary);
    await grow(bed, users, { postsPerUser, say });
  } catch (error) {
    await stop();
    throw error;
  }
  return bed;
}

async function startServers(dir, names, fsync) {
  const { startEmbeddedServers } = await import(join(root, 'dist/infra/cluster/embedded.js'));
  const servers = names.map((name) => ({ name, port: 0 }));
  const settings = { ...SETTINGS, fsync: fsync ? 'on' : 'off' };
  return startEmbeddedServers({ dir, servers, say() {}, settings });
}

export const programOf = (home) => join(home, 'dist/readback/main.js');

/** What commands go by, with these databases. */
export const variablesOf = ({ primary, replicas }) => ({
  ...process.env,
  PRIMARY_URL: primary.url,
  PRIMARY_ADMIN_URL: primary.adminUrl,
  REPLICA_URLS: replicas.map(({ url }) => url).join(','),
  REPLICA_ADMIN_URLS: replicas.map(({ adminUrl }) => adminUrl).join(','),
});

export async function setUp(home, urls) {
  await run(process.execPath, [programOf(home), 'migrate'], { env: variablesOf(urls) }).catch((error) => {
    throw new Error(`readback migrate, of ${home}, ended with ${error.code}: ${error.stderr.trim()}`);
  });
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
