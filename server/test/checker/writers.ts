import { setTimeout as sleep } from 'node:timers/promises';
import type postgres from 'postgres';
import type { Random } from '../support/history.ts';
import { despiteOutages } from './outage.ts';
import { drawDistance, waitForReplicas } from './pace.ts';

/** Of all writers together, in changes. */
export interface Progress {
  written: number;
  /** How far they are to get by now; past it they make small steps alone, so that something is written until the end. */
  due: number;
  /** No step begins. */
  held: boolean;
  /** Steps under way. */
  busy: number;
  /** Nothing more is to be written. */
  stopped: boolean;
}

const FIRST_ROWS = 2000;

/** One writer, whose rows no other touches. */
export interface Writer {
  sql: postgres.Sql;
  random: Random;
  prefix: string;
  /** Users so far, the deleted ones included: w1-0, w1-1 … */
  rows: number;
  posts: string[];
  others: Other[];
  /** Rows of other keys so far. */
  serial: number;
}

/** A row under another key, by the condition for it. */
interface Other {
  table: 'counters' | 'pairs' | 'shards';
  key: Record<string, string | number>;
}

/** A kind of step; `share` says how often it is drawn. To add one is all that a new kind of write needs. */
interface Kind {
  share: number;
  /** About how many changes it makes. */
  changes: number;
  run: (writer: Writer, step: number) => Promise<unknown>;
}

/** Single rows, big transactions, deletes and re-inserts of one key, updates that change nothing; long values and short ones. */
const KINDS: Kind[] = [
  { share: 26, changes: 1, run: (writer, step) => rename(writer, `s${step}-`, somewhere(writer), 1) },
  { share: 10, changes: 1, run: touch },
  { share: 10, changes: 1, run: (writer, step) => addUsers(writer, writer.rows++, 1, `n${step}-`) },
  { share: 10, changes: 2, run: replaceUser },
  { share: 29, changes: 200, run: (writer, step) => rename(writer, `b${step}-`, somewhere(writer), 200) },
  { share: 3, changes: FIRST_ROWS, run: (writer, step) => rename(writer, `B${step}-`, 0, FIRST_ROWS) },
  { share: 3, changes: 1, run: (writer, step) => addPost(writer, step, 40) },
  { share: 3, changes: 1, run: (writer, step) => addPost(writer, step, 20_000) },
  { share: 4, changes: 5, run: retitlePosts },
  { share: 1, changes: 1, run: rewritePost },
  { share: 1, changes: 1, run: deletePost },
  { share: 8, changes: 1, run: addOther },
  { share: 8, changes: 1, run: (writer, step) => eachOther(writer, 1, (sql, row) => mark(sql, row, `m${step}`)) },
  { share: 3, changes: 40, run: (writer, step) => eachOther(writer, 40, (sql, row) => mark(sql, row, `M${step}`)) },
  { share: 2, changes: 2, run: replaceOther },
  { share: 2, changes: 1, run: deleteOther },
];

const SMALL = KINDS.filter(({ changes }) => changes <= 5);
const MOST_PAUSE_MS = 20;
const HELD_MS = 5;

/** With the rows that it begins with. */
export async function newWriter(sql: postgres.Sql, n: number, random: Random): Promise<Writer> {
  const writer: Writer = {
    sql,
    random,
    prefix: `w${n}-`,
    rows: FIRST_ROWS,
    posts: [],
    others: [],
    serial: (n + 1) * 1_000_000,
  };
  await addUsers(writer, 0, FIRST_ROWS, 'first-');
  return writer;
}

/** Writes until it is stopped. */
export async function write(writer: Writer, progress: Progress): Promise<void> {
  const { sql, random } = writer;
  progress.written += FIRST_ROWS;
  for (let step = 0; !progress.stopped; step++) {
    const isAhead = progress.written >= progress.due;
    const kind = draw(isAhead ? SMALL : KINDS, random);
    progress.written += kind.changes;
    if (isAhead) await sleep(random() * MOST_PAUSE_MS);
    while (progress.held && !progress.stopped) await sleep(HELD_MS);
    progress.busy++;
    await despiteOutages(sql, async () => {
      await waitForReplicas(sql, drawDistance(random));
      await kind.run(writer, step);
    });
    progress.busy--;
  }
}

function draw(kinds: Kind[], random: Random): Kind {
  let dice = random() * kinds.reduce((sum, { share }) => sum + share, 0);
  return kinds.find(({ share }) => (dice -= share) < 0)!;
}

const somewhere = ({ random, rows }: Writer): number => Math.floor(random() * rows);

const addUsers = ({ sql, prefix }: Writer, first: number, count: number, marker: string) => sql`
  insert into users (username, email, password_hash, first_name)
  select ${prefix} || n, ${prefix} || n || '@example.com', '-', ${marker} || n
  from generate_series(${first}::int, ${first + count - 1}::int) n`;

const rename = ({ sql, prefix }: Writer, marker: string, from: number, count: number) => sql`
  update users set first_name = ${marker}
  where username in (select ${prefix} || n from generate_series(${from}::int, ${from + count - 1}::int) n)`;

async function touch(writer: Writer): Promise<void> {
  const username = `${writer.prefix}${somewhere(writer)}`;
  await writer.sql`update users set first_name = first_name where username = ${username}`;
}

/** One key deleted and inserted again, in one transaction; its posts go, too. */
async function replaceUser(writer: Writer, step: number): Promise<void> {
  const username = `${writer.prefix}${somewhere(writer)}`;
  await writer.sql.begin(async (sql) => {
    const [row] = await sql`delete from users where username = ${username} returning id`;
    if (row)
      await sql`insert into users (id, username, email, password_hash, first_name) values (${row['id']}, ${username}, ${`${username}@example.com`}, '-', ${`r${step}`})`;
  });
}

async function addPost(writer: Writer, step: number, most: number): Promise<void> {
  const { sql, prefix, posts } = writer;
  const [row] = await sql`
    insert into posts (author_id, title, body) select id, ${`${prefix}p${step}`}, ${bodyOf(writer, most)} from users
    where username = ${`${prefix}${somewhere(writer)}`} returning id`;
  if (row) posts.push(row['id']);
}

/** The bodies stay as they are: the primary does not send the long ones again. */
async function retitlePosts({ sql, random, prefix, posts }: Writer, step: number): Promise<void> {
  const from = Math.floor(random() * posts.length);
  await sql`update posts set title = ${`${prefix}t${step}`} where id = any(${posts.slice(from, from + 5)}::uuid[])`;
}

async function rewritePost(writer: Writer, step: number): Promise<void> {
  const { sql, random, prefix, posts } = writer;
  const id = posts[Math.floor(random() * posts.length)];
  if (id === undefined) return;
  await sql`update posts set title = ${`${prefix}w${step}`}, body = ${bodyOf(writer, 20_000)} where id = ${id}`;
}

async function deletePost({ sql, random, posts }: Writer): Promise<void> {
  const [id] = posts.splice(Math.floor(random() * posts.length), 1);
  if (id !== undefined) await sql`delete from posts where id = ${id}`;
}

const DAYS = ['2025-03-01', '2026-03-01'];

/** Where the row is of a key that the primary makes, it says which. */
async function addOther(writer: Writer, step: number): Promise<void> {
  const { sql, random, prefix, others } = writer;
  const [number, marker] = [writer.serial++, `o${step}`];
  const table = (['counters', 'pairs', 'shards'] as const)[Math.floor(random() * 3)]!;
  const given = {
    counters: {},
    pairs: { left_id: number % 7, right_id: `${prefix}${number}` },
    shards: { id: number, day: DAYS[number % 2]! },
  }[table];
  const [row] = await sql`insert into ${sql(table)} ${sql({ ...given, marker })} returning *`;
  others.push({ table, key: table === 'counters' ? { id: row!['id'] } : (given as Other['key']) });
}

/** Some of them, in one transaction. */
async function eachOther(
  { sql, random, others }: Writer,
  most: number,
  run: (sql: postgres.TransactionSql, row: Other) => Promise<unknown>,
): Promise<void> {
  const from = Math.floor(random() * others.length);
  await sql.begin(async (transaction) => {
    for (const row of others.slice(from, from + most)) await run(transaction, row);
  });
}

const mark = (sql: postgres.TransactionSql, { table, key }: Other, marker: string) =>
  sql`update ${sql(table)} set marker = ${marker} where ${isKey(sql, key)}`;

const isKey = (sql: postgres.TransactionSql, key: Other['key']) =>
  Object.entries(key).reduce((both, [name, value]) => sql`${both} and ${sql(name)} = ${value}`, sql`true`);

/** The same key deleted and inserted again, in one transaction. */
function replaceOther(writer: Writer, step: number): Promise<void> {
  return eachOther(writer, 1, async (sql, { table, key }) => {
    const { count } = await sql`delete from ${sql(table)} where ${isKey(sql, key)}`;
    if (count === 0) return;
    const given = table === 'counters' ? sql`overriding system value` : sql``;
    const row = { ...key, marker: `R${step}` };
    await sql`insert into ${sql(table)} (${sql(Object.keys(row))}) ${given} values ${sql([Object.values(row)])}`;
  });
}

async function deleteOther({ sql, random, others }: Writer): Promise<void> {
  const [row] = others.splice(Math.floor(random() * others.length), 1);
  if (row)
    await sql.begin(
      (transaction) => transaction`delete from ${transaction(row.table)} where ${isKey(transaction, row.key)}`,
    );
}

const LETTERS = [...`abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 '"\\\n:[]äß€😀`];

/** Of random letters, so that compression does not make it short. */
function bodyOf({ random }: Writer, most: number): string {
  const length = Math.ceil(most * (0.3 + random() * 0.7));
  return Array.from({ length }, () => LETTERS[Math.floor(random() * LETTERS.length)]).join('');
}
