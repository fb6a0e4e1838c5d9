import { readFileSync } from 'node:fs';
import { parse, validate } from 'graphql';
import { describe, expect, test } from 'vitest';
import { introspected, schemaOf, SDL } from '../test/introspected.ts';
import { countOf, feedOf, oneOf, pageOf, toldIn, writeOf } from './documents.ts';
import { tablesIn, type Table } from './tables.ts';

const [notes, tags] = tablesIn(introspected(schemaOf())) as [Table, Table];

test('a table is known by the types of its rows, not by names alone', () => {
  expect(notes).toMatchObject({
    type: 'Note',
    name: 'notes',
    one: 'note',
    references: [{ name: 'tag', type: 'Tag' }],
    order: { type: 'NoteOrder', fields: ['AT', 'TITLE'] },
    change: { type: 'NoteChange', row: 'note' },
  });
  expect(notes.filter!.inputs.map(({ name, of, description }) => [name, of, description])).toEqual([
    ['search', 'String', 'A prefix'],
    ['mood', 'Mood', null],
    ['published', 'Boolean', null],
  ]);
  const names = [notes, tags].map((table) => [table.create?.name, table.update?.name, table.delete?.name]);
  expect(names).toEqual([
    ['createNote', 'updateNote', 'deleteNote'],
    ['createTag', undefined, undefined],
  ]);
});

test('a table that has neither filters nor inputs is one all the same', () => {
  expect(tags).toMatchObject({ type: 'Tag', name: 'tagList', filter: undefined, references: [] });
  expect(tags.create).toEqual({ name: 'createTag', row: 'tag', inputType: undefined, inputs: [] });
  // What takes an argument that has to be given is no column.
  expect(tags.columns.map(({ name }) => name)).toEqual(['id', 'name']);
});

test('columns and inputs have their types', () => {
  expect(notes.columns.map(({ name, type, isList, values }) => [name, type, isList, values])).toEqual([
    ['id', 'ID!', false, undefined],
    ['title', 'String!', false, undefined],
    ['size', 'BigInt', false, undefined],
    ['mood', 'Mood', false, ['SAD', 'GLAD']],
    ['words', '[String]', true, undefined],
    ['doc', 'JSON', false, undefined],
    ['at', 'DateTime!', false, undefined],
  ]);
  const required = notes.create!.inputs.filter(({ isRequired }) => isRequired);
  expect(required.map(({ name }) => name)).toEqual(['title']);
});

describe('what is asked is what the schema has', () => {
  const example = readFileSync('schema/schema.graphql', 'utf8');
  for (const [name, sdl] of Object.entries({ 'of the test': SDL, 'of this project': example }))
    test(name, () => {
      const schema = schemaOf(sdl);
      const tables = tablesIn(introspected(schema));
      expect(tables.length).toBeGreaterThan(0);
      const documents = tables.flatMap((table) => [
        pageOf(table),
        countOf(table),
        oneOf(table),
        ...[table.create].flatMap((mutation) => (mutation ? [writeOf(table, mutation, false)] : [])),
        ...[table.update, table.delete].flatMap((mutation) => (mutation ? [writeOf(table, mutation, true)] : [])),
      ]);
      for (const document of [...documents, feedOf([]), feedOf(tables)])
        expect([document, validate(schema, parse(document)).map(({ message }) => message)]).toEqual([document, []]);
    });
});

test('of a large schema the feed has the rows of the table that is looked at', () => {
  const many = Array.from({ length: 100 }, (_, n) => ({ ...notes, type: `Note${n}` }));
  expect(toldIn([notes, tags], undefined)).toEqual([notes, tags]);
  expect(toldIn(many, many[3])).toEqual([many[3]]);
  expect(toldIn(many, undefined)).toEqual([]);
});
