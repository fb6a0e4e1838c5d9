import { expect, onTestFinished, test } from 'vitest';
import { freshDatabases } from './support/databases.ts';
import type { Sql } from '../database/connect.ts';
import { estimatedRows } from '../database/sql/sizes.ts';

test('rows are estimated in any schema, in partitions, of what views read, and before anybody has counted them', async () => {
  const databases = await freshDatabases();
  onTestFinished(() => databases.drop());
  const { primary } = databases;
  await primary.unsafe(`
    create schema "Sales";
    create table "Sales"."Order" (id int primary key);
    create table parted (id int primary key) partition by range (id);
    create table parted_1 partition of parted for values from (0) to (1000);
    create table parted_2 partition of parted for values from (1000) to (9000) partition by range (id);
    create table parted_3 partition of parted_2 for values from (1000) to (9000);
    create table uncounted (id int primary key) with (autovacuum_enabled = off);
    insert into "Sales"."Order" select generate_series(1, 700);
    insert into parted select generate_series(0, 1499);
    insert into uncounted values (1);
    create view seen as select p.id from parted p join "Sales"."Order" o on o.id = p.id;
    create view over_seen as select count(*) from seen;
    create materialized view kept as select id from parted where id < 100;
    analyze "Sales"."Order"; analyze parted; analyze kept;`);
  const rows = await estimatedRows(primary as unknown as Sql, [
    '"Sales"."Order"',
    'parted',
    'parted_1',
    'uncounted',
    'over_seen',
    'kept',
    'public.users',
    'gone',
  ]);
  expect(Object.fromEntries(rows)).toEqual({
    '"Sales"."Order"': 700,
    parted: 1500,
    parted_1: 1000,
    uncounted: 50,
    over_seen: 2200,
    kept: 100,
    'public.users': 0,
  });
});
