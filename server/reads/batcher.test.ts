import { expect, test } from 'vitest';
import { Batcher, MAX_BATCH_KEYS } from './batcher.ts';

/** Records what is sent; each answer waits to be let go. */
function recorder() {
  const sent: { keys: number[]; answer: () => void }[] = [];
  const run = (keys: number[]) =>
    new Promise<{ rows: string[]; seen: bigint }>((resolve) => {
      sent.push({ keys, answer: () => resolve({ rows: keys.map(String), seen: BigInt(sent.length) }) });
    });
  return { sent, run };
}
const turn = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

test('what is asked for in one turn goes out together, equal keys once, each caller with its own in its order', async () => {
  const { sent, run } = recorder();
  const batcher = new Batcher(run, 2);
  const answers = [batcher.load([3, 1]), batcher.load([1, 2])];
  await turn();
  expect(sent.map(({ keys }) => keys)).toEqual([[3, 1, 2]]);
  sent[0]!.answer();
  expect((await Promise.all(answers)).map(({ rows }) => rows)).toEqual([
    ['3', '1'],
    ['1', '2'],
  ]);
});

test('past the bound of statements under way, keys gather for the next one', async () => {
  const { sent, run } = recorder();
  const batcher = new Batcher(run, 1);
  const first = batcher.load([1]);
  await turn();
  const later = [batcher.load([2])];
  await turn();
  later.push(batcher.load([3]));
  await turn();
  expect(sent.map(({ keys }) => keys)).toEqual([[1]]);
  sent[0]!.answer();
  await first;
  await turn();
  expect(sent.map(({ keys }) => keys)).toEqual([[1], [2, 3]]);
  sent[1]!.answer();
  expect((await Promise.all(later)).map(({ rows }) => rows)).toEqual([['2'], ['3']]);
});

test('a statement has a bounded number of keys', async () => {
  const { sent, run } = recorder();
  const batcher = new Batcher(run, 9);
  const keys = Array.from({ length: MAX_BATCH_KEYS - 1 }, (_, index) => index);
  const answers = [batcher.load(keys), batcher.load([5000]), batcher.load([5001])];
  await turn();
  expect(sent.map((batch) => batch.keys.length)).toEqual([MAX_BATCH_KEYS, 1]);
  for (const { answer } of sent) answer();
  await Promise.all(answers);
});

test('a failure reaches everyone in the batch, and no one else', async () => {
  let fail = true;
  const batcher = new Batcher<number, number>(
    (keys) => (fail ? Promise.reject(new Error('down')) : Promise.resolve({ rows: keys, seen: 0n })),
    2,
  );
  const both = await Promise.allSettled([batcher.load([1]), batcher.load([2])]);
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  fail = false;
  expect((await batcher.load([1])).rows).toEqual([1]);
});

test('a value that PostgreSQL refuses fails those who ask by it, and nobody who shares their statement', async () => {
  const sent: number[][] = [];
  const batcher = new Batcher<number, number>((keys) => {
    sent.push(keys);
    const refused = Object.assign(new Error('invalid input syntax for type timestamp'), { code: '22007' });
    return keys.includes(-1) ? Promise.reject(refused) : Promise.resolve({ rows: keys, seen: 0n });
  }, 1);
  const asked = Array.from({ length: 16 }, (_, index) => batcher.load([index === 5 ? -1 : index]));
  const answers = await Promise.allSettled(asked);
  expect(answers.flatMap(({ status }, index) => (status === 'rejected' ? [index] : []))).toEqual([5]);
  // Of two halves, one each time.
  expect(sent).toHaveLength(1 + 2 * Math.log2(16));
});

test('a statement goes on while anybody waits for it, and is told when nobody does', async () => {
  const signals: AbortSignal[] = [];
  const batcher = new Batcher<number, string>((_, { signal }) => {
    signals.push(signal);
    return new Promise(() => {});
  }, 1);
  const [one, other] = [new AbortController(), new AbortController()];
  const answers = [batcher.load([1], one.signal), batcher.load([1, 2], other.signal)];
  await turn();
  one.abort(new Error('one left'));
  await expect(answers[0]).rejects.toThrow('one left');
  expect(signals[0]!.aborted).toBe(false);
  other.abort(new Error('the other left'));
  await expect(answers[1]).rejects.toThrow('the other left');
  expect(signals[0]!.aborted).toBe(true);
});

test('who leaves before their statement is sent is not asked for', async () => {
  const { sent, run } = recorder();
  const batcher = new Batcher(run, 2);
  const one = new AbortController();
  const left = batcher.load([1], one.signal);
  void batcher.load([2]);
  one.abort(new Error('left'));
  await expect(left).rejects.toThrow('left');
  await turn();
  expect(sent.map(({ keys }) => keys)).toEqual([[2]]);
});
