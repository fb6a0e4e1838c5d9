import { expect, test } from 'vitest';
import { parseExactly } from '../lib/exact-json.ts';
import { charactersOf } from './answer-size.ts';

test.each([
  ['{"users":{"nodes":[{"id":"1","isActive":true,"points":12345,"firstName":null}],"totalCount":1}}'],
  [`{"doc":[${Array(100).fill('123456789012345678901234567890').join()}]}`],
  [`{"body":"${'x'.repeat(10_000)}"}`],
])('it is about as long as its JSON: %.40s', (text) => {
  const characters = charactersOf(parseExactly(text), Infinity);
  expect(characters / text.length).toBeGreaterThan(0.7);
  expect(characters / text.length).toBeLessThan(1.5);
});

test('what is too long is not looked at to its end', () => {
  const list = Array(1_000_000).fill('x'.repeat(100)) as string[];
  const looked = new Proxy({}, { ownKeys: () => expect.fail('it went on') });
  expect(charactersOf([list, looked], 1000)).toBeLessThan(2000);
});
