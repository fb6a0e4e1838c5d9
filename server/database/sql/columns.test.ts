import { expect, test } from 'vitest';
import { block, literal } from './columns.ts';

test('a text in a block cannot end it', () => {
  expect(block('null;')).toBe('do $$ begin null; end $$');
  const label = `$$; drop table users; $block1$ -- '`;
  const [, tag] = /^do (\S+) begin /.exec(block(`select ${literal(label)};`))!;
  expect(label).not.toContain(tag);
});
