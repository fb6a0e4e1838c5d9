import type postgres from 'postgres';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import * as migrating from './support/migrating.ts';
import { ALL, insertUser, PUBLISH, writers } from './support/migrating.ts';

/** Each test sets up a pair several times. */
vi.setConfig({ testTimeout: 60_000 });

let databases: TestDatabases;
let primary: postgres.Sql;
let replica: postgres.Sql;
beforeEach(async () => {
  databases = await freshDatabases();
  primary = databases.primary;
  replica = databases.replicas[0]!;
});
afterEach(() => databases.drop());

const migrate = (files: Record<string, string>) => migrating.migrate(databases, files);
const refusal = (files: Record<string, string>) => migrating.refusal(databases, files);
const expectSame = (table: string, columns: string) => migrating.expectSame(databases, table, columns);

describe('a new column holds the same on both sides in rows that were there before', () => {
  beforeEach(async () => {
    for (const name of ['ada', 'babbage', 'clarke']) await insertUser(primary, name);
  });
  const added = (onPrimary: string, onReplica = 'alter table users add column extra text;') => ({
    'primary/9004.do.extra.sql': onPrimary,
    'replica/9004.do.extra.sql': onReplica,
  });

  test('published, then filled by an update', async () => {
    await migrate(
      added(`alter table users add column extra text; ${PUBLISH('extra')} update users set extra = upper(username);`),
    );
    await expectSame('users', `${ALL}, extra`);
    expect(await replica`select extra from users order by 1`).toEqual(
      ['ADA', 'BABBAGE', 'CLARKE'].map((extra) => ({ extra })),
    );
  });

  test('filled by an update that nothing sends: refused', async () => {
    expect(
      await refusal(
        added(`alter table users add column extra text; update users set extra = upper(username); ${PUBLISH('extra')}`),
      ),
    ).toContain('replica-1: users.extra: rows that are there hold values which replication would not send');
  });

  test('another value for each row: refused', async () => {
    const column = 'alter table users add column extra uuid not null default gen_random_uuid();';
    expect(await refusal(added(column + PUBLISH('extra'), 'alter table users add column extra uuid;'))).toContain(
      'users.extra: its default is another one for each row',
    );
    expect(await refusal(added(column + PUBLISH('extra'), column))).toContain(
      'users.extra: rows that the replica has, and rows on their way to it, would get different values',
    );
  });

  test('different constants: refused', async () => {
    expect(
      await refusal(
        added(
          `alter table users add column extra text not null default 'a'; ${PUBLISH('extra')}`,
          `alter table users add column extra text not null default 'b';`,
        ),
      ),
    ).toContain("hold 'a' on the primary and 'b' on the replica");
  });

  test('a column that was there, and was not sent: refused with rows in it, taken with an update', async () => {
    await primary`alter table users add column extra text`;
    await primary`update users set extra = 'x' where username = 'ada'`;
    expect(await refusal(added(PUBLISH('extra')))).toContain('which replication would not send');
    await migrate(added(`${PUBLISH('extra')} update users set extra = extra || '' where extra is not null;`));
    await expectSame('users', `${ALL}, extra`);
  });
});

describe('what would break replication is refused, and leaves everything as it was', () => {
  /** Primary's part, replica's part, what is said. */
  const changes: Record<string, [string, string, string]> = {
    'a column that the replicas lack': [
      `alter table users add column points int; ${PUBLISH('points')}`,
      'select 1;',
      'replica-1: users.points (integer) is missing: add it.',
    ],
    'a table that the replicas lack': [
      'create table items (id uuid primary key); alter publication readback add table items;',
      'select 1;',
      'replica-1: items is missing: create it.',
    ],
    'a column of another type': [
      `alter table users add column points bigint; ${PUBLISH('points')}`,
      'alter table users add column points int;',
      'replica-1: users.points is integer, which does not take every bigint: make it that type.',
    ],
    'a type made narrower': [
      'select 1;',
      'alter table users alter column first_name type varchar(10);',
      'users.first_name is character varying(10), which does not take every character varying(100)',
    ],
    'a column that may be null, and not on the replicas': [
      `alter table users add column points int; ${PUBLISH('points')}`,
      'alter table users add column points int not null default 0;',
      'users.points is not null, and the primary may send null: drop not null.',
    ],
    'a column of the replicas that nothing fills': [
      'select 1;',
      `alter table users add column seen_at timestamptz not null default now();
       alter table users alter column seen_at drop default;`,
      'users.seen_at is not null without a default, and the primary does not send it',
    ],
    'a column dropped on the replicas alone': [
      'select 1;',
      'alter table users drop column last_name;',
      'users.last_name (character varying(100)) is missing: add it.',
    ],
    'a column dropped on both sides under one number': [
      `alter publication readback drop table users;
       alter publication readback add table users (${ALL.replace('last_name, ', '')});
       alter table users drop column last_name;`,
      'alter table users drop column last_name;',
      'leave its part here, and give the part of the replica the next number',
    ],
    'a column renamed on the primary': [
      'alter table users rename column last_name to surname;',
      'select 1;',
      'users.surname (character varying(100)) is missing: add it.',
    ],
    'a table without a key': [
      'create table items (id uuid); alter publication readback add table items;',
      'create table items (id uuid);',
      'items needs a primary key, and all of it published',
    ],
    'SQL that fails': [
      'alter table users add column points nonsense;',
      'alter table users add column points int;',
      'primary (127.0.0.1',
    ],
  };

  const everything = async () => {
    const catalog = (sql: postgres.Sql) => sql`
      select table_schema, table_name, column_name, data_type, is_nullable, column_default from information_schema.columns
      where table_schema in ('public', 'readback') order by 1, 2, ordinal_position`;
    return [
      await catalog(primary),
      await catalog(replica),
      await primary`select * from pg_publication_tables where pubname = 'readback' order by tablename`,
      await primary`select version from readback.engine_migrations order by 1`,
      await primary`select version from readback.migrations order by 1`,
      await replica`select version from readback.migrations order by 1`,
      await replica`select log_id, pruned_to, complete_since from readback.log_state`,
    ];
  };

  test('all of them, one after the other, on one pair that is written all the while', async () => {
    const stopWriting = writers((writer, round) => insertUser(primary, `w${writer}-${round}`));
    const before = await everything();
    for (const [name, [onPrimary, onReplica, said]] of Object.entries(changes)) {
      const files = { 'primary/9004.do.x.sql': onPrimary, 'replica/9004.do.x.sql': onReplica };
      expect(`${name}: ${await refusal(files)}`).toContain(said);
      expect([name, await everything()]).toEqual([name, before]);
    }
    await stopWriting();
    await expectSame('users', ALL);
  });
});
