import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { tablesOf } from '../cli/add/catalog.ts';
import { PROJECT, registered } from '../cli/add/register.ts';
import { addCommand, undoCommand } from '../cli/add.ts';
import { connect } from '../database/connect.ts';
import { projectRoot } from '../lib/root.ts';
import { setUp } from '../setup/setup.ts';
import { addTo, signInAt } from './support/adding.ts';
import { examine } from './support/doctor.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { addUser } from './support/people.ts';
import { projectCopy, run, serve, writeFiles } from './support/project-copy.ts';

let databases: TestDatabases;
beforeEach(async () => {
  databases = await freshDatabases();
});
afterEach(() => databases.drop());

const quiet = () => {};

/** What the replica has logged, as far as it has come. */
async function changes(which: string): Promise<string[]> {
  const rows = await databases.replicas[0]!.unsafe(
    `select operation || ' ' || table_name as change from readback.change_log where ${which} order by after_lsn, seq`,
  );
  return rows.map(({ change }) => change);
}

const add = (...given: [root: string, tables: string | string[], without?: string[]]) => addTo(databases, ...given);

test(
  'a table with rows and relations is served by the files that are written for it',
  { timeout: 240_000 },
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
    const root = await projectCopy();
    const said = await add(root, 'order_items', ['cost']);
    expect(said.slice(0, -1).map((line) => line.replace(/\d{4}/, 'NEXT'))).toEqual([
      'wrote    sql/primary/NEXT.do.order-items.sql',
      'wrote    sql/replica/NEXT.do.order-items.sql',
      'wrote    schema/tables/order-items.ts',
      'changed  schema/project.ts',
    ]);
    await primary`create table order_notes (id uuid primary key default gen_random_uuid(),
    order_item_id uuid not null references order_items on delete cascade, created_at timestamptz not null default now())`;
    await primary`alter table order_notes add column note varchar(20) not null`;
    said.push(...(await add(root, 'order_notes')));
    const files = said.flatMap((line) => /^(?:wrote|changed) +(\S+\.ts)$/.exec(line)?.slice(1) ?? []);
    expect(files).toHaveLength(4);
    expect(run(root, 'prettier', '--check', ...files)).toBe('ok');
    expect(run(root, 'tsc', '-p', 'tsconfig.build.json')).toBe('ok');
    expect(run(root, 'node', 'infra/launch/program.mjs')).toBe('ok');
    await setUp(databases.config, testConfig(), quiet, join(root, 'sql'));

    const query = await serve(root, databases);
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
    for (const odd of [
      { weight: 'NaN', dueAt: 'infinity' },
      { weight: '-Infinity', dueAt: '0044-03-15 00:00:00+00 BC' },
    ]) {
      const input = `{ weight: "${odd.weight}", dueAt: "${odd.dueAt}" }`;
      const { updateOrderItem } = await query(
        `mutation { updateOrderItem(id: "${id}", input: ${input}) { orderItem { weight dueAt } } }`,
      );
      expect(updateOrderItem.orderItem).toEqual(odd);
      expect(await query(`{ orderItem(id: "${id}") { weight dueAt } }`)).toEqual({ orderItem: odd });
      const [row] = await primary`
        select weight::text, due_at = ${odd.dueAt}::text::timestamptz as is_due from order_items where id = ${id}`;
      expect(row).toEqual({ weight: odd.weight, is_due: true });
    }
    await query(`mutation { updateOrderItem(id: "${id}", input: { weight: 2.5e-3 }) { orderItem { weight } } }`);
    expect(await primary`select weight from order_items where id = ${id}`).toEqual([{ weight: 0.0025 }]);
    expect(await query(`mutation { updateOrderItem(id: "${id}", input: { weight: "2" }) { bookmark } }`)).toEqual([
      { code: 'GRAPHQL_VALIDATION_FAILED' },
    ]);
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

    await expect
      .poll(() => changes(`table_name like 'order%'`), { timeout: 20_000 })
      .toEqual([
        'INSERT order_items',
        'UPDATE order_items',
        'UPDATE order_items',
        'UPDATE order_items',
        'UPDATE order_items',
        'INSERT order_notes',
        'DELETE order_items',
        'DELETE order_notes',
      ]);
    expect(await changes(`coalesce(after, before) ?| array['api_token', 'cost']`)).toEqual([]);

    // What the application makes wider or laxer arrives, though nobody has migrated; a new column of a listed table, too.
    await primary`alter table order_items alter buyer_id drop not null, add column colour text`;
    for (const refused of ['alter name type varchar(200)', 'drop column note'])
      await expect(primary.unsafe(`alter table order_items ${refused}`)).rejects.toThrow(
        /publication|other objects depend/,
      );
    await primary`alter table order_notes alter note type varchar(200), alter note drop not null`;
    const name = 'x'.repeat(150);
    const [lax] = await primary`insert into order_items (name, colour) values ('red one', 'red') returning id`;
    await primary`insert into order_notes (order_item_id, note) values (${lax!['id']}, null), (${lax!['id']}, ${name})`;
    const [replica] = databases.replicas;
    await expect
      .poll(() => replica!`select note from order_notes where order_item_id = ${lax!['id']} order by note`)
      .toEqual([{ note: name }, { note: null }]);
  },
);

/** The files that docs/tables.md tells to write, by their paths. */
function recipe(): Record<string, string> {
  const text = readFileSync(join(projectRoot, 'docs/tables.md'), 'utf8');
  const section = text.split('\n## Write them yourself\n')[1]!.split('\n## ')[0]!;
  const parts = section.split(/\n\*\*\d\. `/).slice(1);
  return Object.fromEntries(
    parts.map((part) => [part.split('`')[0]!, /^```(?:sql|ts)\n(.*?)^```$/ms.exec(part)![1]!] as const),
  );
}

test('the files that the documentation shows make a table, in few lines', { timeout: 240_000 }, async () => {
  const files = recipe();
  expect(Object.keys(files)).toHaveLength(3);
  expect(Object.values(files).join('').split('\n').length).toBeLessThan(70);
  const root = await projectCopy();
  const project = readFileSync(join(root, PROJECT), 'utf8');
  writeFiles(root, { ...files, [PROJECT]: registered([{ file: 'comments', type: 'Comment' }], project) });
  expect(run(root, 'prettier', '--check', ...Object.keys(files).filter((path) => path.endsWith('.ts')))).toBe('ok');
  expect(run(root, 'tsc', '-p', 'tsconfig.build.json')).toBe('ok');
  expect(run(root, 'node', 'infra/launch/program.mjs')).toBe('ok');

  const [ada, bob] = [await addUser({ databases }), await addUser({ databases })];
  const [post] = await databases.primary<{ id: string }[]>`
    insert into posts (author_id, title, body, published_at) values (${ada.id}, 'Notes', '', now()) returning id`;
  await setUp(databases.config, testConfig(), quiet, join(root, 'sql'));
  const query = await serve(root, databases, 'protected');
  const [asAda, asBob] = [await signInAt(query, ada), await signInAt(query, bob)];
  const { createComment } = await query(
    `mutation { createComment(input: { postId: "${post!.id}", authorId: "${ada.id}", body: "Said" }) {
      comment { id body isHidden remindAt post { title } author { id } } } }`,
    asAda,
  );
  const { id, ...comment } = createComment.comment;
  expect(comment).toEqual({
    body: 'Said',
    isHidden: false,
    remindAt: null,
    post: { title: 'Notes' },
    author: { id: ada.id },
  });
  const hide = `mutation { updateComment(id: "${id}", input: { isHidden: true }) { bookmark } }`;
  const list = `{ comments { totalCount } user(id: "${ada.id}") { comments { nodes { id } } } post(id: "${post!.id}") { comments { totalCount } } }`;
  const seen = {
    comments: { totalCount: 1 },
    user: { comments: { nodes: [{ id }] } },
    post: { comments: { totalCount: 1 } },
  };
  expect(await query(list, asBob)).toEqual(seen);
  expect(await query(hide, asBob)).toEqual([{ code: 'FORBIDDEN', field: 'id' }]);
  await query(hide, asAda);
  expect(await query(list, asAda)).toEqual(seen);
  expect(await query(list, asBob)).toEqual({
    comments: { totalCount: 0 },
    user: { comments: { nodes: [] } },
    post: { comments: { totalCount: 0 } },
  });
  await query(`mutation { deleteComment(id: "${id}") { bookmark } }`, asAda);
  expect(await query(`{ comment(id: "${id}") { id } }`, asAda)).toEqual({ comment: null });
  await expect
    .poll(() => changes(`table_name = 'comments'`), { timeout: 20_000 })
    .toEqual(['INSERT comments', 'UPDATE comments', 'DELETE comments']);
});

test('a default that is the same for every row is told from one that is not', async () => {
  const { primary } = databases;
  await primary.unsafe(`
    create type mood as enum ('sad', 'it''s (2)'); create domain positive as bigint check (value > 0);
    create domain "e-mail" as varchar(80); create domain day_of as date;`);
  const same = [
    [`int`, `5`],
    [`positive`, `5::positive`],
    [`bigint`, `-5::bigint`],
    [`numeric(10, 2)`, `0.5::numeric(10, 2)`],
    [`mood`, `'it''s (2)'::mood`],
    [`mood[]`, `'{}'`],
    [`"e-mail"`, `'none'::"e-mail"`],
    [`boolean`, `true`],
    [`timestamp(3)`, `'2026-01-01'::timestamp(3)`],
    [`date`, `'now'::date`],
  ];
  const other = [
    [`date`, `('now'::text)::date`],
    [`day_of`, `' Today'::text::day_of`],
    [`timestamptz`, `now()`],
    [`text`, `'a' || session_user::text`],
    [`text`, `current_user`],
    [`date`, `'2026-01-01'::date - (current_date - current_date)`],
    [`uuid`, `gen_random_uuid()`],
    [`int`, `5 + pg_backend_pid()`],
  ];
  const columns = [...same, ...other].map(([type, value], n) => `c${n} ${type} default ${value}`);
  await primary.unsafe(`create table made (id int primary key, ${columns.join(', ')})`);
  const options = { max: 1, connectTimeoutMs: 10_000, applicationName: 'test' };
  const sql = connect(databases.config.primary.url, options);
  onTestFinished(() => sql.end());
  const [table] = (await tablesOf(sql, null)).filter((one) => one.table === 'made');
  const told = table!.columns.slice(1).map((column) => [column.default, column.isConstant]);
  expect(told).toEqual(told.map(([value], n) => [value, n < same.length]));
});

test('a list of children is named apart from all fields of a parent that is served already', async () => {
  await databases.primary`create table body (id int primary key, post_id uuid references posts)`;
  const root = await projectCopy();
  const config = { ...testConfig(), databases: databases.config };
  await addCommand(['body'], { without: [], send: [], one: 'bodyPart' }, config, quiet, root);
  expect(readFileSync(join(root, 'schema/tables/body.ts'), 'utf8')).toContain("{ as: 'post', many: 'bodyList',");
});

test('a table that cannot be served is refused, with all that stands against it', async () => {
  const { primary } = databases;
  await primary`create table notes (note text)`;
  await primary`create unlogged table items (id int primary key deferrable, note text)`;
  await primary`alter table items replica identity nothing`;
  await primary`create table whole (id int primary key, api_token text)`;
  await primary`alter table whole replica identity full`;
  await primary`create table parted (id int, at date, api_token text not null, primary key (id, at)) partition by range (at)`;
  await primary`create table parted_1 partition of parted for values from ('2026-01-01') to ('2027-01-01')`;
  await primary`create table parted_2 partition of parted for values from ('2027-01-01') to ('2028-01-01')`;
  await primary`create unique index parted_2_token on parted_2 (api_token)`;
  await primary`alter table parted_1 replica identity nothing`;
  await primary`alter table parted_2 replica identity using index parted_2_token`;
  const refusal = (table: string, without?: string[]) =>
    add(projectRoot, table, without).then(
      () => ['no error'],
      (error: Error) => error.message.split('\n'),
    );
  expect(await refusal('notes')).toEqual(['notes: it has no primary key, by which a row could be known: add one.']);
  expect(await refusal('items', ['cost', 'id'])).toEqual([
    'items: --without names cost, and its columns are id, note.',
    'items: its primary key is deferrable: PostgreSQL would refuse updates and deletes once it is published.',
    'items: it is unlogged, and PostgreSQL sends none of it: run alter table … set logged.',
    'items: its replica identity is nothing: PostgreSQL would refuse updates and deletes once it is published. Run alter table … replica identity default.',
    'items: id is of its key, and stays on the primary: leave it out of --without.',
  ]);
  expect(await refusal('whole')).toEqual([
    'whole: its replica identity is full, and api_token would stay on the primary: PostgreSQL would refuse updates and deletes once it is published. Run alter table … replica identity default.',
  ]);
  expect(await refusal('parted')).toEqual([
    'parted: the replica identity of its partition parted_1 is nothing: PostgreSQL would refuse updates and deletes once it is published. Run alter table parted_1 replica identity default.',
    'parted: the replica identity of its partition parted_2 is an index (api_token), and api_token would stay on the primary: PostgreSQL would refuse updates and deletes once it is published. Run alter table parted_2 replica identity default.',
  ]);
  expect(await refusal('nothing')).toEqual([
    'The primary has no table nothing: it has items, notes, parted, posts, users, whole. Give one of them, with its schema where that is not public.',
  ]);
  await primary.unsafe(`
    create view seen as select 1 as id; create materialized view counted as select 1 as id; create sequence public."Numbers";
    create foreign data wrapper away; create server away foreign data wrapper away;
    create foreign table elsewhere (id int) server away`);
  for (const [name, told] of [
    ['seen', 'public.seen is a view, and readback add takes tables alone: declare it by hand with view: true'],
    ['counted', 'public.counted is a materialized view, of which PostgreSQL sends no rows: make a view'],
    ['public.elsewhere', 'public.elsewhere is a foreign table, whose rows are on another server'],
    ['Numbers', 'public."Numbers" is a sequence, which has no rows: add the table'],
    [
      'parted_1',
      'public.parted_1 is a partition, and is served with the table that it is of: run readback add parted.',
    ],
  ] as const)
    expect(await refusal(name)).toEqual([expect.stringContaining(told)]);
  await primary`drop foreign data wrapper away cascade`;
  expect(await refusal('posts')).toEqual([
    'schema/tables/posts.ts declares it already: a column that is new is a line more there. To have it written again, run readback add --undo posts first.',
  ]);
});

test('what a migration would publish so that the application fails is refused, and changes nothing', async () => {
  const { primary, replicas, config } = databases;
  await primary`create table items (id int primary key, note text)`;
  await primary`insert into items values (1, 'one')`;
  const root = mkdtempSync(join(tmpdir(), 'readback-sql-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  cpSync(join(projectRoot, 'sql'), root, { recursive: true });
  const sql = (sent: string) => {
    writeFiles(root, {
      'primary/0900.do.items.sql': `alter publication readback add table items${sent};`,
      'replica/0900.do.items.sql': 'create table items (id int primary key, note text);',
    });
    return setUp(config, testConfig(), quiet, root);
  };
  const refused = 'PostgreSQL would refuse updates and deletes once it is published';
  for (const [before, sent, fault, repair] of [
    [
      'replica identity nothing',
      '',
      `primary: items: its replica identity is nothing: ${refused}`,
      'replica identity default',
    ],
    [
      'replica identity full',
      ' (id)',
      'primary: items: its replica identity is full, and note would stay',
      'replica identity default',
    ],
    ['set unlogged', '', 'cannot add relation "items" to publication', 'set logged'],
    [
      'drop constraint items_pkey, add primary key (id) deferrable',
      '',
      'primary: items: its primary key is deferrable',
      'drop constraint items_pkey, add primary key (id)',
    ],
  ] as const) {
    await primary.unsafe(`alter table items ${before}`);
    await expect(sql(sent)).rejects.toThrow(fault);
    await primary`update items set note = 'still'`;
    expect(await replicas[0]!`select to_regclass('items') as items`).toEqual([{ items: null }]);
    await primary.unsafe(`alter table items ${repair}`);
  }
  await sql('');
  await primary`update items set note = 'sent'`;
});

test(
  'triggers that write into tables which clients of Readback may not write are named',
  { timeout: 240_000 },
  async () => {
    const { primary } = databases;
    await primary.unsafe(`
    create table things (id int primary key, note text); create table audits (id int primary key, note text);
    create function note_it() returns trigger language plpgsql as $$ begin
      -- delete from users
      insert into "audits" select new.id, new.note; update things set note = '' where id < 0; return new; end $$;
    create function trusted() returns trigger language plpgsql security definer as $$ begin delete from audits; return new; end $$;
    create trigger noted after insert on things for each row execute function note_it();
    create trigger trusted after insert on things for each row execute function trusted();`);
    const root = await projectCopy();
    const named = (lines: string[]) =>
      lines
        .join('\n')
        .split('\n')
        .filter((line) => line.includes('trigger'));
    expect(named(await add(root, 'things'))).toEqual([
      'things: its trigger noted writes into audits as whoever writes, and readback_writer may not. For clients to write here, run alter function note_it() security definer, or grant insert, update on audits to readback_writer.',
    ]);
    await undoCommand('things', { ...testConfig(), databases: databases.config }, quiet, root);
    await add(root, 'audits');
    expect(named(await add(root, 'things'))).toEqual([]);
  },
);

/** The project's own files, by their paths. */
const filesOf = (root: string): Record<string, string> =>
  Object.fromEntries(
    ['schema/project.ts', 'schema/tables', 'sql/primary', 'sql/replica'].flatMap((path) => {
      const names = path.endsWith('.ts') ? [''] : readdirSync(join(root, path));
      return names.map((name) => [join(path, name), readFileSync(join(root, path, name), 'utf8')] as const);
    }),
  );

test(
  'what was written for a table is taken back whole, before it is applied and after',
  { timeout: 240_000 },
  async () => {
    const { primary, replicas } = databases;
    await primary`create table notes (id int primary key, note text)`;
    await primary`create table "order notes" (id int primary key)`;
    const root = await projectCopy();
    const config = { ...testConfig(), databases: databases.config };
    const before = filesOf(root);
    await add(root, 'notes');
    expect(Object.keys(filesOf(root))).toHaveLength(Object.keys(before).length + 3);
    await undoCommand('notes', config, quiet, root);
    expect(filesOf(root)).toEqual(before);

    await add(root, 'notes');
    await add(root, '"order notes"');
    await setUp(databases.config, testConfig(), quiet, join(root, 'sql'));
    const published = () =>
      primary`select from pg_publication_tables where pubname = 'readback' and tablename ~ 'notes'`;
    expect(await published()).toHaveLength(2);
    await undoCommand('notes', config, quiet, root);
    // The application has dropped this one, and the publication has lost it with that.
    await primary`drop table "order notes"`;
    const gone = (await examine(databases.config)).find(({ check }) => check === 'table-not-published');
    expect(gone).toMatchObject({
      found: 'public."order notes" is gone from the primary, and replicas hold it',
      remedy: expect.stringContaining('Run readback add --undo "order notes"'),
    });
    await undoCommand('"order notes"', config, quiet, root);
    expect(filesOf(root)).toMatchObject({ 'schema/project.ts': before['schema/project.ts'] });
    expect(Object.keys(filesOf(root))).not.toContain('schema/tables/notes.ts');
    await setUp(databases.config, testConfig(), quiet, join(root, 'sql'));
    expect(await published()).toHaveLength(0);
    for (const replica of replicas)
      expect(await replica`select from pg_class where relname in ('notes', 'order notes')`).toHaveLength(0);
    expect(await primary`select count(*)::int from notes`).toEqual([{ count: 0 }]);
  },
);

test('a mistake in a declaration is told in one line at the start, without a stack', { timeout: 240_000 }, async () => {
  const root = await projectCopy();
  const built = join(root, 'dist/schema/tables/posts.js');
  const mistaken = readFileSync(built, 'utf8').replace('write: OWN', 'write: { title: { eq: 5 } }');
  writeFileSync(built, mistaken);
  expect(run(root, 'node', 'infra/launch/program.mjs')).toBe('ok');
  const line = "Post (table posts), rights.write: expected title.eq to be a text or claim('sub'), got: 5\n";
  for (const command of [
    ['main.js', 'migrate'],
    ['main.js', 'serve'],
    ['schema.js', '--check'],
  ]) {
    const [file = '', ...args] = command;
    const options = { cwd: root, encoding: 'utf8' } as const;
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(root, 'dist/readback', file), ...args],
      options,
    );
    expect([command, status, stdout, stderr]).toEqual([command, 1, '', line]);
  }
});

test('names and labels of any text stay names and labels in the SQL', { timeout: 120_000 }, async () => {
  const [replica] = databases.replicas;
  await databases.primary.unsafe(`
    create type "of $$ a 'kind'" as enum ('$$; drop table users; --', 'it''s');
    create table "o'brien" (id int primary key, kind "of $$ a 'kind'");
    insert into "o'brien" values (1, 'it''s')`);
  const root = await projectCopy();
  await add(root, `"o'brien"`);
  await setUp(databases.config, testConfig(), quiet, join(root, 'sql'));
  await databases.primary.unsafe(`insert into "o'brien" values (2, '$$; drop table users; --')`);
  const logged = `table_name = '"o''brien"'`;
  await expect.poll(() => changes(logged)).toEqual([`INSERT "o'brien"`]);
  expect(await replica!.unsafe(`select id, kind::text from "o'brien" order by id`)).toEqual([
    { id: 1, kind: "it's" },
    { id: 2, kind: '$$; drop table users; --' },
  ]);
});

test('a line is added to the list of tables in whatever form it stands', () => {
  const item = { file: 'order-items', type: 'OrderItem' };
  const files = ['tables: [] };', 'tables: [Note] };', '\n  tables: [\n    Note,\n  ],\n};'].map(
    (list) => `import { Note } from './tables/notes.ts';\n\nexport const project: Project = { ${list}\n`,
  );
  for (const file of files) {
    const added = registered([item], file);
    expect(added).toMatch(
      /^import \{ Note \} .*;\nimport \{ OrderItem \} from '\.\/tables\/order-items\.ts';\n\nexport/,
    );
    expect(added).toMatch(/tables: \[(?:|Note, |\n {4}Note, )OrderItem\]/);
  }
  expect(() => registered([item], 'export const project = {};')).toThrow('has no list of tables');
});
