import 'reflect-metadata';
import { ID } from 'type-graphql';
import { expect, test } from 'vitest';
import { BelongsTo, Column, declarationOf, Key, Table } from './declaration.ts';
import { claim } from './rule.ts';

const HIDDEN = { read: { id: { eq: claim('sub') } } };
const text = () => String;

/** A class with these decorators, by its fields. */
function tableOf(name: string, fields: Record<string, PropertyDecorator>) {
  const type = class {};
  Object.defineProperty(type, 'name', { value: name });
  for (const [field, decorate] of Object.entries({ id: Key(() => ID), ...fields })) decorate(type.prototype, field);
  Table(`${name.toLowerCase()}s`)(type);
  return type;
}

test('a relation by a column that not everybody sees is refused, on either side', () => {
  const seen = tableOf('Seen', { code: Column(text), secret: Column(text, HIDDEN) });
  const by = (column: string, reference: string) => ({
    hidden: Column(text, HIDDEN),
    shown: Column(text),
    place: BelongsTo(() => seen, { columns: [column], references: [reference] }),
  });
  expect(() => tableOf('One', by('hidden', 'code'))).toThrow('whoever sees the row sees, got: hidden');
  const other = tableOf('Other', by('shown', 'secret'));
  expect(() => declarationOf(other).relations[0]!.references()).toThrow('got: secret');
  const fine = tableOf('Fine', by('shown', 'code'));
  expect(declarationOf(fine).relations[0]!.references()).toHaveLength(1);
});
