import { expect, test } from 'vitest';
import { Names } from './names.ts';

test('names that clients make up are only so many labels, and those that were met first stay', () => {
  const names = new Names();
  const labels = Array.from({ length: 1000 }, (_, index) => names.label(`Made${index}`));
  expect(labels[199]).toBe('Made199');
  expect(new Set(labels).size).toBe(201);
  expect(labels.at(-1)).toBe('other');
  expect(names.label('Made0')).toBe('Made0');
  expect(names.label(undefined)).toBe('anonymous');
  expect(new Names().label('N'.repeat(101))).toBe('other');
});
