import { expect, test } from 'vitest';
import { follow, type Iterates } from './follow.ts';
import { FakeServer } from '../test/fake-server.ts';

test('a lost connection is made again, with variables asked again, until it is ended', async () => {
  const server = new FakeServer();
  const got: unknown[] = [];
  const pauses: number[] = [];
  let cursor: string | null = null;
  const stop = follow(
    server as Iterates,
    {
      document: 'subscription { changes }',
      variables: () => ({ after: cursor, snapshot: false }),
      next: ({ changes }: { changes: unknown }) => {
        got.push(changes);
        cursor = `${got.length}`;
      },
    },
    async (failures) => void pauses.push(failures),
  );
  await server.send({ changes: 'one' });
  await server.drop();
  await server.drop();
  await server.send({ changes: 'two' });
  stop();
  await server.settle();
  expect(got).toEqual(['one', 'two']);
  expect(server.asked.map(({ after }) => after)).toEqual([null, '1', '1']);
  expect(pauses).toEqual([0, 1]);
});

test('what the server refuses is told, and asked for again', async () => {
  const server = new FakeServer();
  const refused: string[] = [];
  const stop = follow(
    server as Iterates,
    {
      document: 'subscription { changes }',
      variables: () => ({ snapshot: false }),
      next: () => {},
      failed: (code, message) => refused.push(`${code}: ${message}`),
    },
    async () => {},
  );
  await server.refuse('CURSOR_EXPIRED', 'too old');
  expect(refused).toEqual(['CURSOR_EXPIRED: too old']);
  expect(server.asked).toHaveLength(2);
  stop();
});
