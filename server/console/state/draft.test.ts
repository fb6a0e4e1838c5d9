import { expect, test } from 'vitest';
import { Digits, exactly } from '../api/json.ts';
import { introspected, schemaOf } from '../test/introspected.ts';
import { blank, draftOf, isSecret, read, waysOf, type Draft } from './draft.ts';
import { tablesIn } from './tables.ts';
import { nameOf, shown } from './values.ts';

const [notes] = tablesIn(introspected(schemaOf())) as [ReturnType<typeof tablesIn>[number]];
const create = notes.create!.inputs;
const update = notes.update!.inputs;
const value = (text: string) => ({ how: 'value', text }) as const;
const filled = (part: Draft) => ({ ...blank(create), ...part });
const input = (name: string) => create.find((one) => one.name === name)!;

test('what is left out is not sent, null is sent as null, and an empty text as one', () => {
  expect(read(create, filled({ title: value('') }))).toEqual({ input: { title: '' }, faults: {} });
  const { input: sent } = read(create, filled({ title: value('t'), size: { how: 'null', text: '5' } }));
  expect(sent).toEqual({ title: 't', size: null });
});

test('values are of their types, and what is none is said of its field', () => {
  const draft = filled({ title: value('t'), size: value('9223372036854775807'), words: value('["a", null]') });
  expect(read(create, { ...draft, isSeen: value('true'), mood: value('SAD') }).input).toEqual({
    title: 't',
    size: '9223372036854775807',
    words: ['a', null],
    isSeen: true,
    mood: 'SAD',
  });
  const { faults } = read(create, filled({ doc: value('{"a":'), words: value('{}') }));
  expect(faults['doc']).toMatch(/^This is no JSON: /);
  expect(faults['words']).toBe('Expected a list as JSON, for [String]: ["a", null].');
});

test('numbers in JSON keep their digits, there and back', () => {
  const doc = JSON.parse('{"n":9007199254740993,"d":1.50,"e":1e400,"i":7}', exactly) as Record<string, unknown>;
  expect(doc['n']).toEqual(new Digits('9007199254740993'));
  expect(doc['i']).toBe(7);
  expect(shown(doc).text).toBe('{"n":9007199254740993,"d":1.50,"e":1e400,"i":7}');
  const { doc: entry } = draftOf(update, { doc });
  expect(JSON.stringify(read(update, { doc: value(entry!.text) }).input)).toBe(
    '{"doc":{"n":9007199254740993,"d":1.50,"e":1e400,"i":7}}',
  );
});

test('an update sends what differs', () => {
  const original = draftOf(update, { id: '1', title: 't', size: null, mood: 'SAD', words: [], doc: null });
  expect(original['pin']).toEqual({ how: 'out', text: '' });
  expect(read(update, original, original)).toEqual({ input: {}, faults: {} });
  const changed = { ...original, size: value('1'), mood: { how: 'null', text: 'SAD' } as const };
  expect(read(update, changed, original).input).toEqual({ size: '1', mood: null });
});

test('null and leaving out are offered where they are taken', () => {
  expect(waysOf(input('title'), notes, true)).toEqual(['value']);
  expect(waysOf(input('size'), notes, true)).toEqual(['out', 'null', 'value']);
  expect(waysOf(input('isSeen'), notes, true)).toEqual(['out', 'value']);
  expect(
    waysOf(
      update.find(({ name }) => name === 'title')!,
      notes,
      false,
    ),
  ).toEqual(['value']);
  expect(create.filter((one) => isSecret(one, notes)).map(({ name }) => name)).toEqual(['pin']);
});

test('a row is called by its first text, a value is shown by its kind', () => {
  expect(nameOf(notes, { id: '1', title: 'first' }, '1')).toBe('first');
  expect(nameOf(notes, null, '1')).toBe('1');
  expect([null, 'null', true, 1.5, ['a']].map((one) => [shown(one).kind, shown(one).text])).toEqual([
    ['null', 'null'],
    ['text', 'null'],
    ['flag', 'true'],
    ['number', '1.5'],
    ['code', '["a"]'],
  ]);
  const long = shown('x'.repeat(5000));
  expect([long.text.length, long.full.length]).toEqual([81, 2001]);
});
