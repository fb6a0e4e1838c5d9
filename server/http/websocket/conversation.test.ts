import { expect, test } from 'vitest';
import type { Connection } from './connection.ts';
import { Conversation, type Begun } from './conversation.ts';

test('completed while it is opened, an operation counts until it has ended', async () => {
  const { take, sent, opening } = await converse();
  take({ id: 'a', type: 'subscribe' });
  take({ id: 'a', type: 'complete' });
  take({ id: 'a', type: 'subscribe' });
  expect(opening.map(({ underWay }) => underWay)).toEqual([1, 2]);
  const [first, second] = opening as [Opening, Opening];
  second.begins({ run: async () => ({ data: { n: 2 } }) });
  await expect.poll(sent).toEqual([
    { id: 'a', type: 'next', payload: { data: { n: 2 } } },
    { id: 'a', type: 'complete' },
  ]);
  let abandoned = 0;
  first.begins({ run: () => Promise.reject(new Error('it was run')), abandon: () => abandoned++ });
  await expect.poll(() => abandoned).toBe(1);
  take({ id: 'b', type: 'subscribe' });
  expect(opening[2]!.underWay).toBe(1);
  expect(sent()).toHaveLength(2);
});

test('completed while it is opened, a subscription is ended as soon as it is open', async () => {
  const { take, sent, opening } = await converse();
  take({ id: 'a', type: 'subscribe' });
  const open = Promise.withResolvers<AsyncGenerator<never, void>>();
  opening[0]!.begins({ run: () => open.promise });
  await expect.poll(() => opening[0]!.hasRun).toBe(true);
  take({ id: 'a', type: 'complete' });
  take({ id: 'a', type: 'subscribe' });
  const { events, isOver } = endless();
  open.resolve(events);
  await expect.poll(isOver).toBe(true);
  expect(sent()).toEqual([]);
});

test('an operation that fails unforeseen ends with an error of its own', async () => {
  const { take, sent, opening, closed } = await converse();
  take({ id: 'a', type: 'subscribe' });
  opening[0]!.begins({ run: () => Promise.reject(new Error('unforeseen')) });
  await expect.poll(sent).toEqual([{ id: 'a', type: 'error', payload: [{ message: 'unforeseen' }] }]);
  expect(closed()).toBeUndefined();
});

interface Opening {
  underWay: number;
  hasRun: boolean;
  begins: (begun: Partial<Begun>) => void;
}

/** A conversation that is acknowledged, whose operations are opened by the test. */
async function converse() {
  const texts: string[] = [];
  const opening: Opening[] = [];
  let hear: (text: string) => unknown = () => {};
  let code: number | undefined;
  const connection = {
    protocol: 'graphql-transport-ws',
    onMessage: (take: (text: string) => unknown) => (hear = take),
    send: async (text: string) => void texts.push(text),
    close: (closed: number) => (code = closed),
  };
  new Conversation(connection as unknown as Connection, {
    connect: async () => true,
    begin: (_channel, _payload, underWay) => {
      const { promise, resolve } = Promise.withResolvers<Begun>();
      const one: Opening = { underWay, hasRun: false, begins: (begun) => resolve(noting(one, begun)) };
      opening.push(one);
      return promise;
    },
    told: (errors) => errors.map((error) => ({ message: (error as Error).message })),
  });
  await hear('{"type":"connection_init"}');
  return {
    opening,
    sent: () => texts.map((text) => JSON.parse(text)).filter(({ type }) => type !== 'connection_ack'),
    take: (message: object) => void hear(JSON.stringify({ ...message, payload: { query: '{ n }' } })),
    closed: () => code,
  };
}

const noting = (one: Opening, { run = () => Promise.resolve({}), abandon = () => {} }: Partial<Begun>): Begun => ({
  run: () => {
    one.hasRun = true;
    return run();
  },
  abandon,
});

/** Waits for ever, until it is ended. */
function endless() {
  const { promise, resolve } = Promise.withResolvers<IteratorReturnResult<void>>();
  let isOver = false;
  const end = async () => {
    isOver = true;
    resolve({ done: true, value: undefined });
    return promise;
  };
  const events = { next: () => promise, return: end, throw: end, [Symbol.asyncIterator]: () => events };
  return { events: events as unknown as AsyncGenerator<never, void>, isOver: () => isOver };
}
