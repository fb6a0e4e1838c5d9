import type postgres from 'postgres';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { examine, faults, fixAll } from './support/doctor.ts';
import { dropSlot, holdApply } from './support/faults.ts';
import { sqlFolderWith } from './support/sql-folder.ts';

let databases: TestDatabases;
let primary: postgres.Sql;
let replica: postgres.Sql;
beforeEach(async () => {
  databases = await freshDatabases();
  primary = databases.primary;
  replica = databases.replicas[0]!;
});
afterEach(() => databases.drop());

const insertUser = (sql: postgres.Sql, name: string) =>
  sql`insert into users (username, email, password_hash) values (${name}, ${name} || '@example.com', '-') returning id`;

/** A write of now is there, and in the log. */
async function expectArrival(): Promise<void> {
  const [row] = await insertUser(primary, 'later');
  const { id } = row!;
  await expect.poll(async () => (await replica`select from users where id = ${id}`).length, WITHIN).toBe(1);
  expect((await replica`select from readback.change_log where key = ${id}`).length).toBe(1);
}

const WITHIN = { timeout: 10_000, interval: 20 };

const subscription = async () =>
  (
    await replica`
      select oid, subslotname as slot, subconninfo as conninfo from pg_subscription
      where subdbid = (select oid from pg_database where datname = current_database())`
  )[0]!;

const slotIs = async (active: boolean) => {
  const { slot } = await subscription();
  await expect
    .poll(async () => (await primary`select active from pg_replication_slots where slot_name = ${slot}`)[0], WITHIN)
    .toEqual({ active });
};

const disable = async () => {
  await replica`alter subscription readback disable`;
  await slotIs(false);
};

test('a pair that is well has no faults', async () => {
  expect(await examine(databases.config)).toEqual([]);
});

async function knowByIndex(sql: postgres.Sql): Promise<void> {
  await sql`create unique index by_name on users (username)`;
  await sql`alter table users replica identity using index by_name`;
}

/** The row is on both sides before the identity of either matters. */
async function updateOne(): Promise<void> {
  const [row] = await insertUser(primary, 'one');
  await primary`update users set first_name = 'x' where id = ${row!['id']}`;
}

/** Its worker has failed, been started again, and failed again. */
async function failsToApply(write: () => Promise<void>): Promise<void> {
  const { oid } = await subscription();
  const errors = async () =>
    (await replica`select apply_error_count::int as n from pg_stat_subscription_stats where subid = ${oid}`)[0]!['n'];
  const before = (await errors()) as number;
  await write();
  await expect.poll(errors, { timeout: 20_000, interval: 50 }).toBeGreaterThan(before + 1);
}

interface Fault {
  fault: string;
  plant: () => Promise<unknown>;
  /** As `server check`. */
  found: string[];
}

/** After --fix the pair is well, and a write arrives. */
const MENDED: Fault[] = [
  {
    fault: 'the subscription is disabled',
    plant: disable,
    found: ['replica-1 subscription-disabled'],
  },
  {
    fault: 'streaming is parallel',
    plant: () => replica`alter subscription readback set (streaming = parallel)`,
    found: ['replica-1 streaming-parallel'],
  },
  {
    fault: 'prepared transactions are sent as such',
    plant: async () => {
      await disable();
      await expect
        .poll(
          () =>
            replica`alter subscription readback set (two_phase = true)`.then(
              () => 'set',
              ({ message }: Error) => message,
            ),
          WITHIN,
        )
        .toBe('set');
      await replica`alter subscription readback enable`;
    },
    found: ['replica-1 two-phase'],
  },
  {
    fault: 'changes are sent in binary, and those of other origins not at all',
    plant: () => replica`alter subscription readback set (binary = true, origin = none)`,
    found: ['replica-1 binary', 'replica-1 origin'],
  },
  {
    fault: "the replica's database is read-only",
    plant: async () => {
      await replica.unsafe(`alter database ${databases.name} set default_transaction_read_only = on`);
      // The worker that runs has its settings already.
      const { oid } = await subscription();
      await replica`select pg_terminate_backend(pid) from pg_stat_subscription where subid = ${oid} and pid is not null`;
      await failsToApply(async () => void (await insertUser(primary, 'waits')));
    },
    found: ['replica-1 read-only'],
  },
  {
    fault: 'a replica knows rows by an index',
    plant: async () => {
      await knowByIndex(replica);
      await failsToApply(() => updateOne());
    },
    found: ['replica-1 replica-identity'],
  },
  {
    fault: 'the primary knows rows by an index',
    plant: async () => {
      await knowByIndex(primary);
      await failsToApply(() => updateOne());
    },
    found: ['primary replica-identity'],
  },
  {
    fault: 'the subscription is gone, its slot is not',
    plant: async () => {
      await disable();
      await replica`alter subscription readback set (slot_name = none)`;
      await replica`drop subscription readback`;
    },
    found: ['replica-1 subscription-missing', 'primary slot-orphaned'],
  },
  {
    fault: 'the slot is gone',
    plant: () => dropSlot(primary, replica),
    found: ['replica-1 slot-missing'],
  },
  {
    fault: 'a trigger is not ENABLE ALWAYS',
    plant: () => replica`alter table users enable trigger readback_change`,
    found: ['replica-1 trigger'],
  },
  {
    fault: 'a trigger is gone',
    plant: () => replica`drop trigger readback_truncate on posts`,
    found: ['replica-1 trigger'],
  },
  {
    fault: 'the trigger of the heartbeat is off',
    plant: () => replica`alter table readback.heartbeat disable trigger ring`,
    found: ['replica-1 trigger'],
  },
  {
    fault: 'a table is published that the subscription does not know',
    plant: async () => {
      for (const sql of [primary, replica]) await sql`create table items (id int primary key, name text)`;
      await replica`grant select on items to readback_reader`;
      await replica`select readback.watch('items', 'id')`;
      await primary`grant select, insert, update, delete on items to readback_writer, readback_reader`;
      await primary`alter publication readback add table items`;
    },
    found: ['replica-1 table-not-subscribed'],
  },
  {
    fault: 'the reader may not read a table',
    plant: () => replica`revoke select on posts from readback_reader`,
    found: ['replica-1 privilege'],
  },
  {
    fault: 'the writer may not read a column',
    plant: () => primary`revoke select (email) on users from readback_writer`,
    found: ['primary privilege'],
  },
  {
    fault: 'a slot that nobody reads',
    plant: () =>
      primary`select pg_create_logical_replication_slot(${'readback_' + databases.name.slice(1, 13)}, 'pgoutput')`,
    found: ['primary slot-orphaned'],
  },
  {
    fault: "the password of the subscription's login was changed",
    plant: async () => {
      const { slot } = await subscription();
      await primary.unsafe(`alter role ${slot} password 'another'`);
      await primary`select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = ${slot}`;
      await slotIs(false);
    },
    found: ['replica-1 cannot-connect'],
  },
  {
    fault: 'the address of the primary leads nowhere',
    plant: async () => {
      const { conninfo } = await subscription();
      const elsewhere = conninfo.replace(/port='\d+'/, "port='1'");
      await replica.unsafe(`alter subscription readback connection '${elsewhere.replaceAll("'", "''")}'`);
      await slotIs(false);
    },
    found: ['replica-1 cannot-connect'],
  },
  {
    fault: 'set-up was cut short before it noted that the log is complete',
    plant: () => replica`update readback.log_state set complete_since = default`,
    found: ['replica-1 log-not-ready'],
  },
];

/** A worker that was started again may wait until the one before has left the slot. */
const PATIENCE = { timeout: 15_000, interval: 100 };
const named = () => faults(databases.config);

describe('is named, and repaired by --fix', () => {
  test('rights are granted again as the last migration left them: the writer makes no administrators', async () => {
    await primary`revoke select (email) on users from readback_writer`;
    await fixAll(databases.config);
    expect(await named()).toEqual([]);
    const [rights] = await primary`select
      has_column_privilege('readback_writer', 'users', 'email', 'select') as email,
      has_column_privilege('readback_writer', 'users', 'is_admin', 'update') as administrators`;
    expect(rights).toEqual({ email: true, administrators: false });
  });

  test('triggers of a table with a key of several columns know all of it', { timeout: 30_000 }, async () => {
    const table = 'create table stays (guest int, night date, room int, primary key (night, room));';
    const files = {
      'primary/0100.do.stays.sql': `${table} alter publication readback add table stays;
        grant select on stays to readback_writer, readback_reader;`,
      'replica/0100.do.stays.sql': `${table} grant select on stays to readback_reader;
        select readback.watch('stays', 'night', 'room');`,
    };
    await setUp(databases.config, testConfig(), () => {}, sqlFolderWith(files));
    await primary`insert into stays values (1, '2026-11-30', 7)`;
    await replica`drop trigger readback_change on stays`;
    await expect.poll(named, PATIENCE).toEqual(['replica-1 trigger']);
    await fixAll(databases.config);
    await primary`update stays set room = 8`;
    const logged = () => replica`select key, former_key from readback.change_log where operation = 'UPDATE'`;
    await expect.poll(logged, WITHIN).toEqual([{ key: '["2026-11-30","8"]', former_key: '["2026-11-30","7"]' }]);
  });

  test('a table with a dot in its name, whose rows the primary knows by an index', { timeout: 30_000 }, async () => {
    const files = {
      'primary/0100.do.odd.sql': `create table "stays.old" (id int primary key, name text not null constraint by_name unique);
        alter publication readback add table "stays.old"; grant select on "stays.old" to readback_writer, readback_reader;`,
      'replica/0100.do.odd.sql': `create table "stays.old" (id int primary key, name text);
        grant select on "stays.old" to readback_reader; select readback.watch('"stays.old"', 'id');`,
    };
    await setUp(databases.config, testConfig(), () => {}, sqlFolderWith(files));
    await primary`alter table "stays.old" replica identity using index by_name`;
    await expect.poll(named, PATIENCE).toEqual(['primary replica-identity']);
    await fixAll(databases.config);
    await expect.poll(named, PATIENCE).toEqual([]);
    const [column] = await replica`
      select attnotnull as strict from pg_attribute where attrelid = '"stays.old"'::regclass and attname = 'name'`;
    expect(column).toEqual({ strict: false });
  });

  for (const { fault, plant, found } of MENDED) {
    test(fault, { timeout: 30_000 }, async () => {
      await plant();
      await expect.poll(named, PATIENCE).toEqual(found);
      await fixAll(databases.config);
      await expect.poll(named, PATIENCE).toEqual([]);
      await expectArrival();
    });
  }
});

/** With what repairs it, in words. */
const NAMED: (Fault & { remedy: RegExp })[] = [
  {
    fault: 'the publication is gone',
    plant: () => primary`drop publication readback`,
    found: ['primary publication-missing'],
    remedy: /create publication readback for table readback\.heartbeat, public\.posts, public\.users/,
  },
  {
    fault: 'a table is not in the publication',
    plant: () => primary`alter publication readback drop table posts`,
    found: ['primary table-not-published'],
    remedy: /alter publication readback add table public\.posts/,
  },
  {
    fault: 'a column is not in the column list',
    plant: async () => {
      await primary`alter publication readback drop table users`;
      await primary`alter publication readback add table users (id, username, email, first_name, is_active, email_verified, created_at, updated_at, is_admin, token_version)`;
    },
    found: ['primary column-not-published'],
    remedy: /Publish the table with it/,
  },
  {
    fault: 'the publication sends no deletes',
    plant: () => primary`alter publication readback set (publish = 'insert, update')`,
    found: ['primary publication-operations'],
    remedy: /set \(publish = 'insert, update, delete, truncate'\)/,
  },
  {
    fault: 'a published table has no replica identity',
    plant: () => primary`alter table posts replica identity nothing`,
    found: ['primary replica-identity'],
    remedy: /alter table public\.posts replica identity default/,
  },
  {
    fault: 'a column is missing on the replica',
    plant: () => replica`alter table users drop column last_name`,
    found: ['replica-1 columns-differ'],
    remedy: /add it/,
  },
  {
    fault: 'a column has another type on the replica',
    plant: () => replica`alter table users alter column first_name type varchar(3)`,
    found: ['replica-1 columns-differ'],
    remedy: /make it that type/,
  },
  {
    fault: 'a row was written by hand, and the same one arrives',
    plant: async () => {
      await replica`alter subscription readback disable`;
      const [row] = await insertUser(primary, 'twice');
      await replica`
        insert into users select ${row!['id']}, 'by hand', 'h', null, null, true, true, now(), now()`;
      await replica`alter subscription readback enable`;
      const { oid } = await subscription();
      await expect
        .poll(
          async () =>
            (
              await replica`select apply_error_count > 1 as failed from pg_stat_subscription_stats where subid = ${oid}`
            )[0],
          WITHIN,
        )
        .toEqual({ failed: true });
    },
    found: ['replica-1 apply-failing'],
    remedy: /delete it there/,
  },
  {
    fault: 'rows were deleted by hand, and changes of them arrive',
    plant: async () => {
      const [row] = await insertUser(primary, 'gone');
      await expect
        .poll(async () => (await replica`delete from users where id = ${row!['id']} returning 1`).length, WITHIN)
        .toBe(1);
      await primary`update users set first_name = 'x' where id = ${row!['id']}`;
      const { oid } = await subscription();
      const missed = async () => {
        // A commit that is applied lets the worker's counts out.
        await primary`update readback.heartbeat set beat_at = clock_timestamp()`;
        const [row] = await replica`
          select confl_update_missing::int as missed from pg_stat_subscription_stats where subid = ${oid}`;
        return row!['missed'];
      };
      await expect.poll(missed, WITHIN).toBe(1);
    },
    found: ['replica-1 rows-missed'],
    remedy: /readback verify names the rows/,
  },
  {
    fault: "a replica's clock that is 45 s slow",
    // In this database alone.
    plant: () =>
      replica.unsafe(`
        alter function pg_catalog.clock_timestamp() rename to right_clock_timestamp;
        create function pg_catalog.clock_timestamp() returns timestamptz language sql volatile
          as $$ select pg_catalog.right_clock_timestamp() - interval '45 s' $$`),
    found: ['replica-1 clock-skew'],
    remedy: /chronyc tracking/,
  },
  {
    fault: 'somebody may write on the replica',
    plant: () => replica`grant insert, update on users to public`,
    found: ['replica-1 table-writers'],
    remedy: /revoke insert, update on public\.users from public/,
  },
  {
    fault: 'somebody may write into the change log',
    plant: () => replica`grant insert on readback.change_log to readback_reader`,
    found: ['replica-1 log-writers'],
    remedy: /revoke insert on readback\.change_log from readback_reader/,
  },
  {
    fault: 'a copy fails on rows that are there',
    plant: async () => {
      for (const sql of [primary, replica]) await sql`create table items (id int primary key)`;
      for (const sql of [primary, replica]) await sql`insert into items values (1)`;
      await replica`grant select on items to readback_reader`;
      await replica`select readback.watch('items', 'id')`;
      const { slot, oid } = await subscription();
      await primary.unsafe(`grant select on items to ${slot}, readback_writer, readback_reader`);
      await primary`alter publication readback add table items`;
      await replica`alter subscription readback refresh publication`;
      await expect
        .poll(
          async () =>
            (
              await replica`select sync_error_count > 0 as failed from pg_stat_subscription_stats where subid = ${oid}`
            )[0],
          WITHIN,
        )
        .toEqual({ failed: true });
    },
    found: ['replica-1 copy-stuck'],
    remedy: /truncate public\.items/,
  },
];

describe('is named, with its remedy', () => {
  for (const { fault, plant, found, remedy } of NAMED) {
    test(fault, { timeout: 30_000 }, async () => {
      await plant();
      const findings = (await examine(databases.config)).filter(({ severity }) => severity !== 'advice');
      expect(findings.map(({ server, check }) => `${server} ${check}`)).toEqual(found);
      expect(findings[0]!.remedy).toMatch(remedy);
    });
  }

  test('a lock that the apply worker waits for, and who holds it', async () => {
    const release = await holdApply(replica);
    await insertUser(primary, 'waits');
    const findings = await examine(databases.config);
    expect(findings[0]).toMatchObject({ check: 'apply-blocked', found: expect.stringMatching(/held by process \d+/) });
    await release();
  });

  test('a long transaction of the primary, and the WAL that a slot holds', async () => {
    const ended = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const open = primary.begin(async (sql) => {
      await sql`select pg_current_xact_id()`;
      begun.resolve();
      await ended.promise;
    });
    await begun.promise;
    const { slot } = await subscription();
    await primary`select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = ${slot}`;
    const found = await examine(databases.config, { longTransactionMs: 0, maxWalBytes: -1 });
    expect(found.map(({ check }) => check)).toContain('long-transaction');
    expect(found.map(({ check }) => check)).toContain('slot-wal');
    ended.resolve();
    await open;
  });

  test('another subscription that writes into the database', async () => {
    await replica.unsafe(
      `create subscription stranger_${databases.name} connection 'host=nowhere' publication p with (connect = false)`,
    );
    expect(await faults(databases.config)).toEqual(['replica-1 other-subscription']);
    await replica.unsafe(`alter subscription stranger_${databases.name} set (slot_name = none)`);
    await replica.unsafe(`drop subscription stranger_${databases.name}`);
  });

  test('servers that do not answer', async () => {
    const url = 'postgres://nobody:secret@127.0.0.1:1/x';
    const { primary: one, replicas } = databases.config;
    const away = { url, adminUrl: url };
    expect(await faults({ ...databases.config, primary: away })).toEqual(['primary unreachable']);
    const findings = await examine({ ...databases.config, replicas: [...replicas, away] });
    expect(findings[0]).toMatchObject({ check: 'unreachable', server: 'replica-2' });
    expect(JSON.stringify(findings)).not.toContain('secret');
    expect(await faults({ ...databases.config, replicas: [one] })).toContain('replica-1 same-database');
  });

  test('a login of the server that is wrong, or too mighty', async () => {
    const wrong = new URL(databases.config.primary.url);
    wrong.password = 'wrong';
    const { adminUrl } = databases.config.primary;
    expect(await faults({ ...databases.config, primary: { url: wrong.href, adminUrl } })).toEqual(['primary login']);
    const findings = await examine({ ...databases.config, primary: { url: adminUrl, adminUrl } });
    expect(findings.map(({ check, severity }) => `${severity} ${check}`)).toContain('advice login-superuser');
    const { url } = databases.config.primary;
    expect(await faults({ ...databases.config, primary: { url, adminUrl: url } })).toContain('primary admin-rights');
  });
});

test('databases that are not set up', async () => {
  const empty = await freshDatabases({ settle: false });
  expect(await faults(empty.config)).toEqual(['primary not-set-up', 'replica-1 not-set-up']);
  await empty.drop();
});
