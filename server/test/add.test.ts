import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { addCommand } from '../cli/add.ts';
import { projectRoot } from '../lib/root.ts';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './databases.ts';

let databases: TestDatabases;
beforeEach(async () => {
  databases = await freshDatabases();
});
afterEach(() => databases.drop());

const quiet = () => {};
const SETTINGS = ['package.json', 'tsconfig.json', 'tsconfig.build.json', '.prettierrc.json', '.prettierignore'];
const PARTS = ['server', 'schema', 'sql', 'infra', ...SETTINGS];

/** What the commands read of the project, in a folder of its own. */
function projectCopy(): string {
  const root = mkdtempSync(join(tmpdir(), 'readback-add-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const name of PARTS) {
    cpSync(join(projectRoot, name), join(root, name), { recursive: true });
  }
  symlinkSync(join(projectRoot, 'node_modules'), join(root, 'node_modules'));
  return root;
}

async function add(root: string, table: string, without: string[] = []): Promise<string[]> {
  const said: string[] = [];
  const config = { ...testConfig(), databases: databases.config };
  await addCommand(table, { without, one: undefined }, config, (line) => said.push(line), root);
  return said;
}

function run(root: string, program: string, ...args: string[]): string {
  const { stdout, stderr, status } = spawnSync(join(root, 'node_modules/.bin', program), args, {
    cwd: root,
    encoding: 'utf8',
  });
  return status === 0 ? 'ok' : stdout + stderr;
}

/** The copy's own server over the databases; returns its address. */
async function serve(root: string): Promise<string> {
  const { primary, replicas } = databases.config;
  const env = { PATH: process.env['PATH'], PORT: '0', PRIMARY_URL: primary.url, REPLICA_URLS: replicas[0]!.url };
  const server = spawn(process.execPath, [join(root, 'dist/server/main.js'), 'serve'], { cwd: root, env });
  const ended = new Promise((resolve) => server.once('exit', resolve));
  onTestFinished(async () => {
    server.kill();
    await ended;
  });
  let output = '';
  for await (const chunk of server.stdout) {
    output += String(chunk);
    const url = /GraphQL +(\S+)/.exec(output)?.[1];
    if (url !== undefined) return url;
  }
  throw new Error(`the server ended: ${output}`);
}

test(
  'a table with rows and relations is served by the files that are written for it',
  { timeout: 120_000 },
  async () => {
    const { primary } = databases;
    await primary`insert into users (username, email, password_hash) values ('ada', 'ada@example.com', '-')`;
    await primary.unsafe(`
    create table order_items (
      id uuid primary key default gen_random_uuid(),
      buyer_id uuid not null constraint order_items_buyer_id_fkey references users on delete cascade,
      giver_id uuid references users, name varchar(80) not null, note text, quantity int not null default 1,
      weight double precision, is_gift boolean not null default false, due_at timestamptz, api_token text,
      cost numeric not null default 0, created_at timestamptz not null default now());
    insert into order_items (buyer_id, name, api_token) select id, 'engine', 's3cret' from users`);
    const root = projectCopy();
    expect((await add(root, 'order_items', ['cost'])).slice(0, -1)).toEqual([
      'wrote    sql/primary/0004.do.order-items.sql',
      'wrote    sql/replica/0004.do.order-items.sql',
      'wrote    schema/order-items/order-item.type.ts',
      'wrote    server/store/order-items.ts',
      'wrote    server/loaders/order-items.ts',
      'wrote    server/resolvers/order-item.resolver.ts',
      'changed  server/resolvers/schema.ts',
      'changed  server/resolvers/watched.ts',
      'changed  schema/feed.type.ts',
    ]);
    await primary`create table order_notes (id uuid primary key default gen_random_uuid(),
    order_item_id uuid not null references order_items on delete cascade, created_at timestamptz not null default now())`;
    await primary`alter table order_notes add column note varchar(20) not null`;
    await add(root, 'order_notes');
    expect(run(root, 'prettier', '--check', 'server', 'schema')).toBe('ok');
    expect(run(root, 'tsc', '-p', 'tsconfig.build.json')).toBe('ok');
    await setUp(databases.config, testConfig(), quiet, join(root, 'sql'));

    const url = await serve(root);
    const query = async (text: string) => {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'readback-consistency': 'strong' },
        body: JSON.stringify({ query: text }),
      });
      const { data, errors } = (await response.json()) as { data: any; errors?: { extensions: object }[] };
      return errors ? errors.map(({ extensions }) => extensions) : data;
    };
    const { users } = await query(
      '{ users { nodes { id orderItemsByBuyer { totalCount nodes { name isGift giver { id } } } } } }',
    );
    const [ada] = users.nodes;
    expect(ada.orderItemsByBuyer).toEqual({ totalCount: 1, nodes: [{ name: 'engine', isGift: false, giver: null }] });
    const { createOrderItem } = await query(`mutation { createOrderItem(input: {
    buyerId: "${ada.id}", giverId: "${ada.id}", name: "mill", weight: 1.5, dueAt: "2026-01-31T12:00:00Z" }
  ) { orderItem { id quantity weight dueAt buyer { username } orderNotes { totalCount } } } }`);
    const { id, ...item } = createOrderItem.orderItem;
    expect(item).toEqual({
      quantity: 1,
      weight: 1.5,
      dueAt: '2026-01-31T12:00:00Z',
      buyer: { username: 'ada' },
      orderNotes: { totalCount: 0 },
    });
    const update = (input: string) =>
      query(`mutation { updateOrderItem(id: "${id}", input: { ${input} }) { orderItem { quantity note } } }`);
    expect(await update('quantity: 2, note: null')).toEqual({
      updateOrderItem: { orderItem: { quantity: 2, note: null } },
    });
    expect(await update('quantity: null')).toEqual([{ code: 'BAD_USER_INPUT', field: 'quantity' }]);
    expect(await update('dueAt: "2026-02-30T00:00:00Z"')).toEqual([{ code: 'BAD_USER_INPUT', field: 'dueAt' }]);
    expect(
      await query(
        `mutation { createOrderNote(input: { orderItemId: "${id}", note: "hello" }) { orderNote { orderItem { name } } } }`,
      ),
    ).toEqual({ createOrderNote: { orderNote: { orderItem: { name: 'mill' } } } });
    expect(await query(`mutation { deleteOrderItem(id: "${id}") { orderItem { name } } }`)).toEqual({
      deleteOrderItem: { orderItem: { name: 'mill' } },
    });

    const log = await databases
      .replicas[0]!`select operation, table_name, after is null or not after ?| array['api_token', 'cost'] as clean
    from readback.change_log where table_name like 'order%' order by change_log.after_lsn, seq`;
    expect(log.map(({ operation, table_name, clean }) => `${operation} ${table_name} ${clean}`)).toEqual([
      'INSERT order_items true',
      'UPDATE order_items true',
      'INSERT order_notes true',
      'DELETE order_items true',
      'DELETE order_notes true',
    ]);
  },
);

test('a table that must be written by hand is refused, with all that stands against it', async () => {
  const { primary } = databases;
  await primary`create table items (id bigint primary key, "order" int, mood text[])`;
  await primary`create table news (id uuid primary key default gen_random_uuid(), created_at timestamptz not null default now(), token text not null)`;
  const refusal = (table: string) =>
    add(projectRoot, table).then(
      () => ['no error'],
      (error: Error) => error.message.split('\n'),
    );
  expect(await refusal('items')).toEqual([
    'items: its primary key must be one column: id uuid default gen_random_uuid().',
    'items: its pages need an order: add created_at timestamptz not null default now().',
    'items: order needs quotes in SQL: rename it, or write the files by hand.',
    'items: no exact GraphQL type is known for id (bigint): leave it out by --without id, or write the files by hand.',
    'items: no exact GraphQL type is known for mood (text[]): leave it out by --without mood, or write the files by hand.',
  ]);
  expect(await refusal('news')).toEqual([
    'news: token stays on the primary, so no client could give it: it needs a default.',
  ]);
  await primary`create table staff (id uuid primary key default gen_random_uuid(), created_at timestamptz not null default now())`;
  expect(await refusal('staff')).toEqual([
    'staff: a row and the table cannot have one name: give the name of a row by --one.',
  ]);
  expect(await refusal('nothing')).toEqual([
    'The primary has no table nothing in the schema public: create it there, under a name without quotes, then run this again.',
  ]);
  expect(await refusal('posts')).toEqual([
    'schema/posts/post.type.ts is there already: remove it to have it written anew.',
  ]);
});
