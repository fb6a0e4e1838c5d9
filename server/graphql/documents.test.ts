import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildSchema } from 'graphql';
import { expect, test } from 'vitest';
import { projectRoot } from '../lib/root.ts';
import { Documents } from './documents.ts';

const schema = buildSchema(readFileSync(join(projectRoot, 'schema', 'schema.graphql'), 'utf8'));
const options = {
  introspection: false,
  tokens: { known: 2000, anonymous: 1000 },
  characters: { known: 50_000, anonymous: 20_000 },
  selections: { known: 5000, anonymous: 1000 },
};
const signedIn = { isOpen: true, user: null };
const anonymous = { isOpen: false, user: null };

/** As often as it fits, with the number that it has. */
function filled(
  part: (n: number) => string,
  around: (parts: string) => string,
  fits: (text: string) => boolean,
): string {
  let [most, least] = [2000, 0];
  const of = (count: number) => around(Array.from({ length: count }, (_, n) => part(n)).join(' '));
  while (most - least > 1) {
    const middle = Math.floor((most + least) / 2);
    if (fits(of(middle))) least = middle;
    else most = middle;
  }
  return of(least);
}

const inUsers = (parts: string) => `{ users { nodes { ${parts} } } }`;
const shapes: Record<string, [(n: number) => string, (parts: string) => string]> = {
  'equal fields': [() => 'id', inUsers],
  aliases: [(n) => `a${n}: id`, inUsers],
  'fragments of equal fields': [
    (n) => `...F${n}`,
    (parts) => `${inUsers(parts)} ${parts.replaceAll(/\.\.\.(F\d+)/g, 'fragment $1 on User { id id id }')}`,
  ],
  'fragments of other fields': [
    (n) => `...F${n}`,
    (parts) =>
      `${inUsers(parts)} ${parts.replaceAll(/\.\.\.F(\d+)/g, 'fragment F$1 on User { a$1: id b$1: id c$1: id }')}`,
  ],
  'fragments in fragments': [
    (n) => `fragment F${n} on User { id posts { nodes { author { ...F${n + 1} } } } }`,
    (parts) => `${inUsers('...F0')} ${parts} fragment F${parts.split('fragment').length - 1} on User { id }`,
  ],
  'nested fields': [() => 'users { nodes { posts { nodes { author { id } } } } }', (parts) => `{ ${parts} }`],
  arguments: [() => 'users(first: 1 after: "a" filter: { search: "x" }) { totalCount }', (parts) => `{ ${parts} }`],
  conditions: [() => '__typename @skip(if: true)', (parts) => `{ ${parts} }`],
  'inline fragments': [() => '... { id ... on User { id } }', inUsers],
  operations: [
    (n) => `query Q${n}($a: ID) { user(id: $a) { ...F } }`,
    (parts) => `${parts} fragment F on User { id ...G } fragment G on User { id }`,
  ],
  variables: [
    (n) => `$v${n}: Int`,
    (parts) => `query (${parts}) { ${parts.replaceAll(/\$(v\d+): Int/g, '$1: users(first: $$$1) { totalCount }')} }`,
  ],
  'unknown fields': [(n) => `userz${n}`, inUsers],
  'a comment': [() => '#'.padEnd(25, 'x') + '\n', (parts) => `{ __typename } ${parts}`],
  'a text': [() => 'x\\n'.repeat(5), (parts) => `{ user(id: """${parts}""") { id } }`],
  commas: [() => ','.repeat(24), (parts) => `{ __typename ${parts} }`],
};

/** Of the best of some times, as other processes take theirs. */
function cpuMs(work: () => void): number {
  const times = Array.from({ length: 7 }, () => {
    const before = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  return Math.min(...times);
}

for (const [who, viewer, mostMs] of [
  ['signed out', anonymous, 5],
  ['signed in', signedIn, 20],
] as const)
  test(`the worst document that is taken is read within ${mostMs} ms of CPU, ${who}`, () => {
    const fits = (text: string) => {
      try {
        return new Documents(schema, options).read(text, viewer) !== undefined;
      } catch {
        return false;
      }
    };
    const texts = Object.values(shapes).map(([part, around]) => filled(part, around, fits));
    for (const text of texts) new Documents(schema, options).read(text, viewer);
    const times = Object.keys(shapes).map((name, index) => {
      const text = texts[index]!;
      expect(fits(text)).toBe(true);
      return { name, characters: text.length, ms: cpuMs(() => new Documents(schema, options).read(text, viewer)) };
    });
    console.table(times);
    // Machines that are slower, and not warm yet.
    for (const { name, ms } of times) expect([name, ms < mostMs * 4]).toEqual([name, true]);
  });

test('new documents, however many, leave those in use known', () => {
  const documents = new Documents(schema, options);
  const used = '{ users { totalCount } }';
  for (let time = 0; time < 2; time++) documents.read(used, anonymous);
  for (let n = 0; n < 1000; n++) documents.read(`{ __typename } #${n}`.padEnd(19_000, ' '), anonymous);
  expect(documents.known(used)).toBeDefined();
  expect(documents.known('{ __typename } #0'.padEnd(19_000, ' '))).toBeUndefined();
});

test('a document that is known is refused all the same to who may not send one so large', () => {
  const documents = new Documents(schema, options);
  const large = `{ ${'__typename '.repeat(1500)} }`;
  documents.read(large, signedIn);
  expect(() => documents.read(large, anonymous)).toThrow(
    'The operation has 1502 tokens, and 1000 are the most before one signs in: ask for less at a time.',
  );
});
