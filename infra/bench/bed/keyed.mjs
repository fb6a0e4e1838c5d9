/** A project that serves the same rows under a key of uuid and under one of bigint, and their databases. */
import { execFile } from 'node:child_process';
import { cpSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../../launch/child.mjs';
import { programOf, setUp, startBed, variablesOf } from './bed.mjs';

const run = promisify(execFile);

const inOrder = (n) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`;

/** In the same order under both, as the database makes them and as clients send them. */
const KEYS = {
  uuid: { type: 'uuid', made: (n) => `('00000000-0000-7000-8000-' || lpad((${n})::text, 12, '0'))::uuid`, of: inOrder },
  bigint: { type: 'bigint', made: (n) => `(${n})::bigint`, of: String },
};
const SPREAD = 1_000_003;
export const KEY_TYPES = Object.keys(KEYS);
export const keyOf = (type, n) => KEYS[type].of(n * SPREAD);

const tablesOf = ({ type, made }, owners) => `
  create table ${type}_owners (id ${type} primary key, name text not null, note text not null, made_at timestamptz not null);
  create table ${type}_items (id ${type} primary key, owner_id ${type} not null references ${type}_owners, title text not null);
  create index on ${type}_items (owner_id, id);
  insert into ${type}_owners select ${made(`n * ${SPREAD}::bigint`)}, 'Name' || n, 'Note ' || n, '2026-01-01'::timestamptz + n * interval '1 second'
    from generate_series(1, ${owners}) n;
  insert into ${type}_items select ${made(`n * ${SPREAD}::bigint + k`)}, ${made(`n * ${SPREAD}::bigint`)}, 'Item ' || k || ' of ' || n
    from generate_series(1, ${owners}) n, generate_series(1, 5) k;`;

export async function startKeyedBed({ users, fsync, say }) {
  const bed = await startBed({ users: 0, fsync, say });
  try {
    say(`loading ${users.toLocaleString('en')} rows under each kind of key, and five of each's own`);
    for (const key of Object.values(KEYS)) await bed.primary.unsafe(tablesOf(key, users));
    say('building a project that serves them');
    const home = await projectWith(
      KEY_TYPES.flatMap((type) => [`${type}_owners`, `${type}_items`]),
      bed,
    );
    await setUp(home, bed.urls);
    for (const sql of [bed.primary, ...bed.replicas]) await sql`vacuum (analyze)`;
    return Object.assign(bed, { home, users });
  } catch (error) {
    await bed.stop();
    throw error;
  }
}

async function projectWith(tables, { dir, urls }) {
  const home = join(dir, 'project');
  const left = ['node_modules', '.git', '.env'];
  const filter = (path) => !left.includes(basename(path)) && !path.endsWith('dist/before');
  cpSync(root, home, { recursive: true, filter });
  symlinkSync(join(root, 'node_modules'), join(home, 'node_modules'));
  const at = { cwd: home, env: variablesOf(urls) };
  await run(process.execPath, [programOf(home), 'add', ...tables], at);
  await run(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json'], at);
  await run(process.execPath, ['infra/launch/program.mjs'], at);
  return home;
}
