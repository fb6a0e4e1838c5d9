import { afterAll, beforeAll, expect, test } from 'vitest';
import { command, variablesOf } from './support/command.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';

const SLOW = { timeout: 120_000 };
const SECRET = 'Replicating1';

let databases: TestDatabases;
beforeAll(async () => {
  databases = await freshDatabases({ settle: false });
});
afterAll(() => databases.drop());

const readback = (...args: string[]) => command(args, variablesOf(databases.config));

/** As psql: the variable is put in. */
async function run(sql: TestDatabases['primary'], script: string): Promise<void> {
  const session = await sql.reserve();
  try {
    await session.unsafe(script.replaceAll(":'replication_password'", `'${SECRET}'`));
  } finally {
    session.release();
  }
}

test('what migrate --print prints, somebody else runs; migrate then finds it done', SLOW, async () => {
  const printed = await readback('migrate', '--print');
  expect(printed).toMatchObject({ code: 0 });
  expect(printed.out).toMatch(/^-- 1\. Of primary .*[^]*^-- 2\. Of replica-1 /m);
  for (const url of [databases.config.primary, databases.config.replicas[0]!].flatMap((one) => [one.url, one.adminUrl]))
    if (new URL(url).password) expect(printed.out).not.toContain(`'${new URL(url).password}'`);
  const none = await databases.primary`select from pg_namespace where nspname = 'readback'`;
  expect(none).toHaveLength(0);

  await run(databases.primary, (await readback('migrate', '--print', 'primary')).out);
  // What is made already is not asked for again.
  expect((await readback('migrate', '--print', 'primary')).out).not.toMatch(
    /login replication password|create_logical_replication_slot/,
  );
  // The copy that the replica takes now has it.
  await databases.primary`
    insert into readback.partition_changes (table_name, part_name, what) values ('parts', 'parts_1', 'dropped')`;
  await run(databases.replicas[0]!, (await readback('migrate', '--print', 'replica-1')).out);
  const migrated = await readback('migrate');
  expect(migrated).toMatchObject({ code: 0, out: expect.stringContaining('Up to date') });
  expect(migrated.out).not.toContain('applied');
  expect(await readback('doctor')).toMatchObject({ code: 0, out: expect.stringContaining('No faults found.') });
  expect(await readback('verify')).toMatchObject({ code: 0 });

  // Somebody has published a table since: its rows arrive by the scripts alone.
  const later = 'create table later (id int primary key);';
  await databases.primary.unsafe(`${later} insert into later values (1); alter publication readback add table later`);
  await databases.replicas[0]!.unsafe(later);
  const again = await readback('migrate', '--print');
  await run(databases.primary, (await readback('migrate', '--print', 'primary')).out);
  await databases.replicas[0]!`alter subscription readback refresh publication`;
  await expect.poll(() => databases.replicas[0]!`select id from later`).toEqual([{ id: 1 }]);
  expect(again.out).toContain('alter subscription readback refresh publication;');
  expect(again.out).not.toContain('create subscription');
  expect(await readback('migrate', '--print', 'replica-9')).toMatchObject({
    code: 2,
    err: expect.stringContaining('There is no replica-9: name one of'),
  });
});
