import { expect, onTestFinished, test } from 'vitest';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig } from './support/databases.ts';
import { sqlFolderWith } from './support/sql-folder.ts';

const FILES = {
  'primary/0100.do.letters.sql': `
    create table letters (t int, i text, n text, r text, k text, primary key (t, n));
    insert into letters values (1, 'a', 'b', 'c', 'd'), (2, 'a', 'b', 'c', 'd');
    alter publication readback add table letters;`,
  'replica/0100.do.letters.sql': `
    create table letters (t int, i text, n text, r text, k text, primary key (t, n));
    select readback.watch('letters', 't', 'n');`,
};

test('rows that TRUNCATE takes are told, whatever their columns are called', async () => {
  const databases = await freshDatabases();
  onTestFinished(() => databases.drop());
  const { primary } = databases;
  const replica = databases.replicas[0]!;
  await setUp(databases.config, testConfig(), () => {}, sqlFolderWith(FILES));
  await primary`truncate letters`;
  const told = () =>
    replica`select operation, key, before, after from readback.change_log where table_name = 'letters' order by seq`;
  const letters = { i: 'a', n: 'b', r: 'c', k: 'd' };
  await expect.poll(told).toEqual([
    { operation: 'DELETE', key: '["1","b"]', before: { t: 1, ...letters }, after: null },
    { operation: 'DELETE', key: '["2","b"]', before: { t: 2, ...letters }, after: null },
  ]);
});
