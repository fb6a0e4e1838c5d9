import { readFileSync } from 'node:fs';
import { parse, validate } from 'graphql';
import { expect, test } from 'vitest';
import { introspected, schemaOf, SDL } from '../test/introspected.ts';
import { tablesIn } from '../state/tables.ts';
import { firstOf } from './first.ts';

for (const [name, sdl] of Object.entries({
  'of the test': SDL,
  'of this project': readFileSync('schema/schema.graphql', 'utf8'),
}))
  test(`each table makes a document of the schema, ${name}`, () => {
    const schema = schemaOf(sdl);
    for (const table of tablesIn(introspected(schema))) {
      const first = firstOf([table]);
      expect([first, validate(schema, parse(first)).map(({ message }) => message)]).toEqual([first, []]);
    }
    expect(firstOf([])).toContain('subscription Changes');
  });
