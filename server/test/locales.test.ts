import postgres from 'postgres';
import { describe, expect, test } from 'vitest';
import { setUp } from '../setup/setup.ts';
import { CreateUserDocument } from '../../schema/generated/operations.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { examine } from './support/doctor.ts';
import { startServer } from './support/server.ts';

/** Databases in languages, on servers of which each may have another. */

const C = "template template0 encoding 'UTF8' locale_provider libc locale 'C'";
const made = (how: string) => ({ primary: how, 'replica-1': how });

const insertUsers = ({ primary }: TestDatabases, names: string[]) =>
  primary`
    insert into users (username, email, password_hash, first_name)
    select 'u' || n, 'u' || n || '@example.com', '-', name from jsonb_array_elements_text(${primary.json(names)}) with ordinality t(name, n)`;

const NAMES = ['ΟΔΟΣ', 'İbrahim', 'Ärger', 'ÉCOLE', 'plain_100%', 'back\\slash'];

describe('a search finds what stands there', () => {
  const kinds: [string, Record<string, string>, Record<string, string[]>][] = [
    [
      'where letters have two cases',
      {},
      { ΟΔΟΣ: ['ΟΔΟΣ'], İbrahim: ['İbrahim'], ärger: ['Ärger'], ÄRGER: ['Ärger'], école: ['ÉCOLE'], Éc: ['ÉCOLE'] },
    ],
    [
      'where ctype is C, and only those of ASCII have',
      made(C),
      { ΟΔΟΣ: ['ΟΔΟΣ'], İBRAHIM: ['İbrahim'], ärger: [], ÄRGER: ['Ärger'], Éc: ['ÉCOLE'] },
    ],
  ];
  for (const [kind, how, found] of kinds) {
    test(kind, async () => {
      const databases = await freshDatabases({ settle: Object.keys(how).length === 0, made: how });
      await setUp(databases.config, testConfig(), () => {});
      await insertUsers(databases, NAMES);
      const server = await startServer({}, databases);
      const search = async (text: string) => {
        const query = 'query ($text: String) { users(filter: { search: $text }) { nodes { firstName } } }';
        const strong = { 'readback-consistency': 'strong' };
        const { data, errors } = await server.query<any, object>(query, { text }, strong);
        expect(errors).toEqual([]);
        return data.users.nodes.map(({ firstName }: { firstName: string }) => firstName);
      };
      for (const [text, names] of Object.entries(found)) expect([text, await search(text)]).toEqual([text, names]);
      expect(await search('PLAIN_1')).toEqual(['plain_100%']);
      expect(await search('plain_100%')).toEqual(['plain_100%']);
      expect(await search('plain%')).toEqual([]);
      expect(await search('BACK\\')).toEqual(['back\\slash']);
      await server.stop();
      await databases.drop();
    });
  }
});

const LATIN1 = "template template0 encoding 'LATIN1' locale_provider libc locale 'C'";
const SQL_ASCII = "template template0 encoding 'SQL_ASCII' locale_provider libc locale 'C'";
const ENGLISH = "template template0 encoding 'UTF8' locale_provider icu icu_locale 'en-US'";

const findings = async (databases: TestDatabases) =>
  (await examine(databases.config))
    .filter(({ check }) => ['encoding', 'collation', 'ctype'].includes(check))
    .map(({ server, check, severity }) => `${severity} ${server} ${check}`);

test('a character that the database cannot hold is the mistake of who sent it', async () => {
  const databases = await freshDatabases({ settle: false, made: made(LATIN1) });
  await setUp(databases.config, testConfig(), () => {});
  const server = await startServer({}, databases);
  const input = { username: 'ada', email: 'ada@example.com', password: 'correct horse', firstName: 'Ada 😀' };
  expect(await server.failure(CreateUserDocument, { input })).toBe('BAD_USER_INPUT');
  expect(await server.failure('{ users(filter: { search: "😀" }) { nodes { id } } }')).toBe('BAD_USER_INPUT');
  expect(await server.failure('mutation { signIn(login: "😀", password: "correct horse") { token } }')).toBe(
    'BAD_USER_INPUT',
  );
  expect((await server.query(CreateUserDocument, { input: { ...input, firstName: 'Zoë' } })).errors).toEqual([]);
  expect(await findings(databases)).toEqual([]);
  await server.stop();
  await databases.drop();
});

test('encodings by which replication would stop are refused by set-up, with a remedy', async () => {
  for (const [primary, replica, words] of [
    [SQL_ASCII, C, 'SQL_ASCII, which takes any byte, and this one is UTF8'],
    [C, LATIN1, "its database is LATIN1, and the primary's UTF8"],
  ] as const) {
    const databases = await freshDatabases({ settle: false, made: { primary, 'replica-1': replica } });
    await expect(setUp(databases.config, testConfig(), () => {})).rejects.toThrow(words);
    expect(await findings(databases)).toEqual(['error replica-1 encoding']);
    await databases.drop();
  }
});

test('a replica that sorts otherwise, or knows other cases, is named by set-up and the doctor', async () => {
  const databases = await freshDatabases({ settle: false, made: { primary: C, 'replica-1': ENGLISH } });
  const lines: string[] = [];
  await setUp(databases.config, testConfig(), (line) => lines.push(line));
  expect(lines.join('\n')).toContain('it sorts texts otherwise than the primary: its locale is en-US');
  expect(await findings(databases)).toEqual(['warning replica-1 collation', 'warning replica-1 ctype']);
  await databases.drop();
});

test(
  'a byte of no encoding that stops a replica is told as such, and not to be skipped',
  { timeout: 60_000 },
  async () => {
    const databases = await freshDatabases({ settle: false, made: made(C) });
    await setUp(databases.config, testConfig(), () => {});
    const { primary } = databases;
    await insertUsers(databases, ['Ada']);
    // As a database that was SQL_ASCII when it was subscribed to: sessions from here on are.
    await primary`update pg_database set encoding = 0 where datname = current_database()`;
    await primary`
    select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`;
    const session = postgres(databases.config.primary.adminUrl, { max: 1 });
    await session`insert into posts (author_id, title, body) select id, 'caf' || chr(233), '' from users`;
    await session.end();
    const errors = async () => {
      const [row] = await databases.replicas[0]!`
      select apply_error_count::int as n from pg_stat_subscription_stats s join pg_subscription p on p.oid = s.subid
      where p.subdbid = (select oid from pg_database where datname = current_database())`;
      return row!['n'];
    };
    await expect.poll(errors, { timeout: 30_000 }).toBeGreaterThan(0);
    const found = (await examine(databases.config)).filter(({ severity }) => severity === 'error');
    expect(found.map(({ server, check }) => `${server} ${check}`)).toEqual(['replica-1 encoding']);
    expect(found[0]!.remedy).not.toContain('skip');
    await databases.drop();
  },
);
