import { buildSchema, OverlappingFieldsCanBeMergedRule, parse, validate } from 'graphql';
import { expect, test } from 'vitest';
import { numbersOf } from '../test/support/random-documents.ts';
import { fieldsMergeRule } from './validation.ts';

const SEED = Number(process.env['MERGING_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
const COUNT = Number(process.env['MERGING_COUNT'] ?? 1000);

const schema = buildSchema(`
  interface Named { name: String! next: Named other: One list: [Named!] }
  type One implements Named { name: String! next: Named other: One list: [Named!] size(of: Int, in: In): Int text: String! }
  type Two implements Named { name: String! next: Named other: One list: [Named!] size(of: Int, in: In): String text: String }
  input In { a: Int b: Int }
  union Either = One | Two
  type Query { one: One two: Two named: Named either: Either all: [Either] }
`);
const FIELDS: Record<string, string[]> = {
  Query: ['one:One', 'two:Two', 'named:Named', 'either:Either', 'all:Either'],
  Named: ['name', 'next:Named', 'other:One', 'list:Named'],
  One: [
    'name',
    'next:Named',
    'other:One',
    'list:Named',
    'size',
    'size(of: 1)',
    'size(in: { a: 1 b: 2 })',
    'size(in: { b: 2 a: 1 })',
    'text',
  ],
  Two: ['name', 'next:Named', 'other:One', 'list:Named', 'size', 'size(of: 1)', 'text'],
  Either: [],
};

/** Every fragment that is made is used, and holds none made before it. */
function documentOf(random: () => number): string {
  const of = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)]!;
  const fragments: string[] = [];
  const set = (type: string, depth: number): string =>
    `{ ${Array.from({ length: 1 + Math.floor(random() * 3) }, () => selection(type, depth)).join(' ')} }`;
  const inner = (type: string) => (type === 'Query' ? 'Query' : of([type, 'One', 'Two', 'Named', 'Either']));
  const selection = (type: string, depth: number): string => {
    const alias = random() < 0.3 ? `${of(['name', 'next', 'x', 'size'])}: ` : '';
    if (depth > 0 && random() < 0.25) {
      const on = inner(type);
      if (random() < 0.5) return `... on ${on} ${set(on, depth - 1)}`;
      const name = `F${fragments.length}`;
      fragments.push('');
      fragments[Number(name.slice(1))] = `fragment ${name} on ${on} ${set(on, depth - 1)}`;
      return `...${name} ${random() < 0.3 ? `...${name}` : ''}`;
    }
    const [field, below] = of(FIELDS[type]!.length > 0 ? FIELDS[type]! : ['__typename']).split(/:(?=[A-Z])/);
    if (below === undefined) return alias + field!;
    return depth > 0 ? `${alias}${field} ${set(below, depth - 1)}` : '__typename';
  };
  return `${set('Query', 5)} ${fragments.join(' ')}`;
}

test("it finds conflicts where graphql's own rule does", () => {
  console.log(`MERGING_SEED=${SEED}`);
  const random = numbersOf(SEED);
  const found = { conflicts: 0, none: 0 };
  for (let count = 0; count < COUNT; count++) {
    const text = documentOf(random);
    const document = parse(text);
    const theirs = validate(schema, document, [OverlappingFieldsCanBeMergedRule]).length > 0;
    const ours = validate(schema, document, [fieldsMergeRule]).length > 0;
    expect([text, ours]).toEqual([text, theirs]);
    found[ours ? 'conflicts' : 'none']++;
  }
  expect(Math.min(found.conflicts, found.none)).toBeGreaterThan(COUNT / 20);
});

test('it says which fields conflict, and why, in the words of graphql', () => {
  for (const text of [
    '{ a: one { name } a: two { name } }',
    '{ one { size(of: 1) size } }',
    '{ named { ... on One { x: size } ... on Two { x: size } } }',
  ]) {
    const [theirs] = validate(schema, parse(text), [OverlappingFieldsCanBeMergedRule]);
    const ours = validate(schema, parse(text), [fieldsMergeRule]);
    expect(ours.map(({ message, locations }) => ({ message, locations }))).toEqual([
      { message: theirs!.message, locations: theirs!.locations },
    ]);
  }
});
