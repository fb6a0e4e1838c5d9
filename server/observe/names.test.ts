import { expect, test } from 'vitest';
import { Names } from './names.ts';

test('names that clients make up are only so many at a time: the one that was met least lately goes', () => {
  const gone: string[] = [];
  const names = new Names((name) => gone.push(name));
  for (let index = 0; index < 1000; index++) {
    expect(names.label(`Made${index}`)).toBe(`Made${index}`);
    expect(names.label('Ours')).toBe('Ours');
  }
  expect(gone).toHaveLength(801);
  expect(gone).not.toContain('Ours');
  expect(gone[0]).toBe('Made0');
  expect(names.label(undefined)).toBe('anonymous');
  expect(names.label('N'.repeat(101))).toBe('other');
});
