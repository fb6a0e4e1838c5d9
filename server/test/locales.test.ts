import { describe, expect, test } from 'vitest';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './databases.ts';
import { startServer } from './server.ts';

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
