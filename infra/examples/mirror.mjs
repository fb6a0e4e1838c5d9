/**
 * Mirrors a table into a JSON file, and goes on where it stopped whenever it is started again.
 *
 *   node infra/examples/mirror.mjs --url ws://127.0.0.1:3000/graphql --table users --file users.json
 *
 * Needs Node 22, and `npm install graphql graphql-ws`. Copy this file and graphql-ws.mjs. Ctrl-C stops it.
 *
 * The file holds the rows and the cursor of the last change in them. Both move in one rename, so whenever this is
 * killed, the file is whole, and what follows its cursor is exactly what its rows lack.
 */
import { open, readFile, rename } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connect, resume } from './graphql-ws.mjs';

/** Changes of so long are written together: each write is of the whole file. */
const SAVE_MS = 100;

const string = { type: 'string' };
const { url, table, file } = parseArgs({ options: { url: string, table: string, file: string } }).values;
if (!url || !table || !file) {
  console.error('Usage: mirror.mjs --url ws://HOST/graphql --table NAME --file FILE');
  process.exit(2);
}

/** Rows by key, and changes applied since the snapshot. */
async function load() {
  const text = await readFile(file, 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (text === null) return { table, cursor: null, changes: 0, rows: new Map() };
  const saved = JSON.parse(text);
  if (saved.table !== table) throw new Error(`${file} is a mirror of ${saved.table}, not of ${table}`);
  return { ...saved, rows: new Map(Object.entries(saved.rows)) };
}

/** Rows and cursor of one moment; on the disk before it takes the old one's place: a loss of power leaves one of the two. */
async function save({ rows, ...rest }) {
  const text = JSON.stringify({ ...rest, rows: Object.fromEntries(rows) });
  const handle = await open(`${file}.new`, 'w');
  await handle.writeFile(text);
  await handle.sync();
  await handle.close();
  await rename(`${file}.new`, file);
}

function apply(mirror, { __typename: type, key, operation, cursor, user, post }) {
  if (type !== 'SnapshotRow') mirror.cursor = cursor;
  if (type === 'CaughtUp') return;
  if (operation === 'DELETE') mirror.rows.delete(key);
  else mirror.rows.set(key, user ?? post);
  if (operation) mirror.changes++;
}

/** What is to be saved. Undefined while a snapshot comes in: then the file stays as it was. */
let whole;

async function follow(signal) {
  let mirror = await load();
  console.log(mirror.cursor === null ? `${file} is new` : `${file} has ${mirror.rows.size} rows`);
  for await (const event of resume(connect(url), { tables: [table], after: mirror.cursor, signal })) {
    if (event.__typename === 'StartAnew') {
      console.log(`a snapshot follows: ${event.reason}`);
      mirror = { table, cursor: null, changes: 0, rows: new Map() };
      whole = undefined;
    } else {
      apply(mirror, event);
      if (mirror.cursor !== null) whole = mirror;
      if (event.__typename === 'CaughtUp') console.log(`${mirror.rows.size} rows, up to ${event.at}`);
    }
  }
}

/** Between two writes the latest state waits in memory; what is lost of it with the process comes again. */
async function keepSaving(signal) {
  for (let saved = null; ; await sleep(SAVE_MS, undefined, { signal }).catch(() => undefined)) {
    const isLast = signal.aborted;
    if (whole && whole.cursor !== saved) {
      saved = whole.cursor;
      await save(whole);
    }
    if (isLast) return;
  }
}

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => stop.abort());
const saving = keepSaving(stop.signal);
try {
  await follow(stop.signal);
} finally {
  stop.abort();
  await saving;
}
