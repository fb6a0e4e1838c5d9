import { expect, test } from 'vitest';
import { readOptions } from '../bench/options.mjs';

const questions = [
  { id: 'point', variants: ['readback', 'floor'] },
  { id: 'update', variants: ['readback', 'seed'] },
];
const read = (...args: string[]) => readOptions(args, questions);

test('all questions of all servers, unless some are chosen', () => {
  expect(read()).toMatchObject({ questions, variants: ['readback', 'floor', 'seed'], rounds: 3, users: 100_000 });
  expect(read('--only', 'update', '--variants', 'seed,readback', '--rounds=2')).toMatchObject({
    questions: [questions[1]],
    variants: ['seed', 'readback'],
    rounds: 2,
  });
  expect(read('--quick', '--seconds', '2')).toMatchObject({ rounds: 1, seconds: 2, users: 10_000 });
});

test.each([
  [['--only', 'point,pint'], '--only pint: expected some of point, update'],
  [['--variants', 'sede'], '--variants sede: expected some of readback, floor, seed'],
  [['--rounds', '0'], '--rounds 0: expected a whole number from 1'],
  [['--users', 'many'], '--users many: expected a whole number from 1'],
  [['--fast'], "Unknown option '--fast'"],
  [['point'], "Unexpected argument 'point'"],
])('%j is refused in a line', (args, message) => {
  expect(() => read(...args)).toThrow(message);
});
