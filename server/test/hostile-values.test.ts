import { randomBytes } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { connect } from '../database/connect.ts';
import { changesAfter } from '../database/sql/change-log.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { serveAllTables } from './support/served-tables.ts';
import { startServer } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

const TABLES = `
  create table branches (code text primary key, parent_code text references branches);
  create table papers (id int primary key, doc jsonb, amounts numeric[], span numrange);`;

/** Neither PostgreSQL's compression nor anybody else's makes it shorter. */
const random = (length: number) => randomBytes(length).toString('base64').slice(0, length);
const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

test(
  'no value that is written stops replication or the feed, or grows past all bounds',
  { timeout: 120_000 },
  async () => {
    const databases = await freshDatabases();
    onTestFinished(() => databases.drop());
    await databases.primary.unsafe(TABLES);
    const { url, client } = await serveAllTables(databases);
    /** Variables as text. The code of the first error, and its field; or the data. */
    const ask = async (query: string, variables = '{}') => {
      const headers = { 'content-type': 'application/json', 'readback-consistency': 'strong' };
      const body = `{"query":${JSON.stringify(query)},"variables":${variables}}`;
      const { data, errors } = (await (await fetch(url, { method: 'POST', headers, body })).json()) as any;
      return errors ? [errors[0].extensions.code, errors[0].extensions.field] : data;
    };

    const branch = (input: object) =>
      ask(
        'mutation ($input: CreateBranchInput!) { createBranch(input: $input) { bookmark } }',
        JSON.stringify({ input }),
      );
    const [parentCode, code] = [random(1300), random(1300)];
    expect(await branch({ code: random(1301) })).toEqual(['BAD_USER_INPUT', 'code']);
    expect(await branch({ code: parentCode })).toHaveProperty('createBranch');
    expect(await branch({ code, parentCode: random(1301) })).toEqual(['BAD_USER_INPUT', 'parentCode']);
    expect(await branch({ code, parentCode })).toHaveProperty('createBranch');
    await expectOnReplica(databases, 'branches', 2);

    let id = 0;
    const paper = (type: string, field: string, value: string) =>
      ask(
        `mutation ($id: Int!, $value: ${type}) { createPaper(input: { id: $id, ${field}: $value }) { bookmark } }`,
        `{"id":${++id},"value":${value}}`,
      );
    const many = (count: number, one: string) => Array(count).fill(one).join();
    for (const [type, field, good, bad] of [
      ['JSON', 'doc', nested(1000), nested(1001)],
      ['JSON', 'doc', '[1e131071]', `[${many(8, '1e131071')}]`],
      ['JSON', 'doc', `[${many(20, '"1e131071"')}]`, `[${many(62, '1e-16383')}]`],
      ['[Decimal]', 'amounts', '["1e131071"]', `[${many(8, '"1e131071"')}]`],
      ['String', 'span', '"[1e131071,)"', `"[${many(8, '1e131071')})"`],
    ]) {
      expect([bad!.slice(0, 20), await paper(type!, field!, bad!)]).toEqual([
        bad!.slice(0, 20),
        ['BAD_USER_INPUT', field],
      ]);
      expect([good!.slice(0, 20), await paper(type!, field!, good!)]).toEqual([
        good!.slice(0, 20),
        { createPaper: expect.anything() },
      ]);
    }
    expect(await paper('JSON', 'doc', nested(100_000))).toEqual(['BAD_USER_INPUT', undefined]);
    await expectOnReplica(databases, 'papers', 5);

    // Another program writes it: it is that one field's, and neither its page's nor the feed's.
    const events = client.iterate<any>({
      query: 'subscription { changes(tables: ["papers"]) { __typename ... on PaperChange { key paper { doc } } } }',
    });
    await events.next();
    await databases.primary`insert into papers (id, doc) values (100, ${nested(4000)}::text::jsonb), (101, '[1]')`;
    const toldOf = async (key: string) => {
      for (;;) {
        const { changes } = (await events.next()).value!.data!;
        if (changes.key === key) return changes.paper.doc;
      }
    };
    const deep = await toldOf('100');
    const cut = `${'['.repeat(1000)}"(nested more than 1000 levels deep: not shown)"${']'.repeat(1000)}`;
    expect(JSON.stringify(deep)).toBe(cut);
    expect(await toldOf('101')).toEqual([1]);
    const { papers } = await ask('{ papers(last: 2) { nodes { doc } } }');
    expect(papers.nodes).toEqual([{ doc: deep }, { doc: [1] }]);
  },
);

async function expectOnReplica({ replicas: [replica] }: TestDatabases, table: string, count: number): Promise<void> {
  const rows = () => replica!.unsafe(`select from ${table}`).then(({ length }) => length);
  await expect.poll(rows, { timeout: 30_000 }).toBe(count);
}

test('long changes are read from the log a few at a time, and each is told', async () => {
  const server = await startServer();
  onTestFinished(() => server.stop());
  const { primary, config } = server.databases;
  const events = subscribeTo<any>(
    server.websocket(),
    'subscription { changes(tables: ["posts"]) { ... on Change { key } } }',
  );
  await events.next();
  await primary`insert into users (username, email, password_hash) values ('writer', 'writer@example.com', '-')`;
  const bodies = Array.from({ length: 90 }, () => random(20_000));
  const written = await primary`
    insert into posts (author_id, title, body) select u.id, 'x', b.body from users u, unnest(${bodies}::text[]) b(body) returning id`;
  const ids = written.map(({ id }) => id as string);
  const told: string[] = [];
  while (told.length < ids.length) told.push((await events.next()).changes.key);
  expect(told).toEqual(ids);

  const read: string[] = [];
  const options = { max: 1, connectTimeoutMs: 10_000, applicationName: 'test' };
  const sql = connect(config.replicas[0]!.url, options);
  onTestFinished(() => sql.end());
  let [lsn, seq, reads] = [0n, '0', 0];
  for (let hasMore = true; hasMore; reads++) {
    const { rows, ...batch } = await changesAfter(sql, lsn, seq, 500, null);
    read.push(...rows.flatMap(({ key, tableName }) => (tableName === 'posts' ? [key] : [])));
    ({ afterLsn: lsn, seq } = rows.at(-1)!);
    hasMore = batch.hasMore;
  }
  expect([reads, read]).toEqual([2, ids]);
});
