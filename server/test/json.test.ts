import { expect, onTestFinished, test } from 'vitest';
import { connect } from '../database/connect.ts';
import { changesAfter } from '../database/sql/change-log.ts';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig } from './support/databases.ts';
import { sqlFolderWith } from './support/sql-folder.ts';

const TYPES = (constraints: string) => `
  create domain strict as json ${constraints};
  create type noted as (note text, doc json);
  create table docs (t text, "it's" int, "100 %1$s" json, strict strict, many json[], pair noted, pairs noted[], primary key ("it's", t));`;

const FILES = {
  'primary/0100.do.docs.sql': `${TYPES('')} alter publication readback add table docs;`,
  'replica/0100.do.docs.sql': `${TYPES(`not null check (json_typeof(value) = 'object')`)}
    select readback.watch('docs', 'it''s', 't');
    -- Set-up calls it, and the files of the earlier release do not make it.
    create function readback.watch_again() returns void language sql as '';`,
};
/** The triggers are not told of it. */
const MORE = {
  'primary/0101.do.more.sql': 'alter table docs add column more json;',
  'replica/0101.do.more.sql': 'alter table docs add column more json;',
};
const NEW = /engine\/replica\/00(?:3[1-9]|[4-9])/;

test('what json holds and jsonb does not is logged as it is, also by triggers of an earlier release', async () => {
  const databases = await freshDatabases({ settle: false });
  onTestFinished(() => databases.drop());
  const { primary } = databases;
  const migrate = (folder: string) => setUp(databases.config, testConfig(), () => {}, folder);
  await migrate(sqlFolderWith(FILES, (path) => !NEW.test(path)));
  const replica = connect(databases.config.replicas[0]!.url, {
    max: 1,
    connectTimeoutMs: 10_000,
    applicationName: 'test',
  });
  onTestFinished(() => replica.end());
  const logged = async () =>
    (await changesAfter(replica, 0n, '0', 100, null)).rows
      .filter(({ tableName }) => tableName === 'docs')
      .map(({ operation, before, after, ...row }) => [
        `${row.formerKey ?? ''} ${operation} ${row.key}`,
        before && JSON.stringify(before),
        after && JSON.stringify(after),
      ]);
  const write = (doc: string) =>
    primary.unsafe(
      `insert into docs (t, "it's", "100 %1$s", strict, many, pair, pairs) values ('a', 1, $1::text::json, '{"a": 1}', array[$1::text::json, null], row('x', $1::text::json)::noted, array[row('y', $1::text::json)::noted])
       on conflict ("it's", t) do update set "100 %1$s" = $1::text::json`,
      [doc],
    );
  await write('"text"');
  await expect.poll(async () => (await logged()).length, { timeout: 20_000 }).toBe(1);
  await migrate(sqlFolderWith({ ...FILES, ...MORE }));
  await primary`delete from docs`;
  await write('"\\u0000"');
  await write('["\\ud800", 1e999999, -0, 1.10]');
  await primary`update docs set t = 'b', more = '-0'`;
  await primary`truncate docs`;
  await expect.poll(async () => (await logged()).length, { timeout: 20_000 }).toBe(6);
  const image = (t: string, doc: string, other: string, more = 'null') => {
    const pair = JSON.stringify(`(x,"${other.replace(/["\\]/g, '$&$&')}")`);
    return `{"t":"${t}","it's":1,"many":[${other},null],"more":${more},"pair":${pair},"pairs":[{"note":"y","doc":${other}}],"strict":{"a":1},"100 %1$s":${doc}}`;
  };
  const [text, none, odd] = ['"text"', '"\\u0000"', '["\\ud800",1e999999,-0,1.10]'] as const;
  // Of the earlier release: as jsonb has it.
  const earlier = image('a', text, text)
    .replace('"note":"y","doc":"text"', '"doc":"text","note":"y"')
    .replace('"more":null,', '');
  expect(await logged()).toEqual([
    [' INSERT ["1","a"]', null, earlier],
    [' DELETE ["1","a"]', image('a', text, text), null],
    [' INSERT ["1","a"]', null, image('a', none, none)],
    [' UPDATE ["1","a"]', image('a', none, none), image('a', odd, none)],
    ['["1","a"] UPDATE ["1","b"]', image('a', odd, none), image('b', odd, none, '-0')],
    [' DELETE ["1","b"]', image('b', odd, none, '-0'), null],
  ]);
});
