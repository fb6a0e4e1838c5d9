import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { Connection } from './connection.ts';

const UNSENT_MOST = 100_000;

test('a client that asks and does not read is not heard until its answers have left', async () => {
  const { client, connection } = await join();
  let [asked, most, answered] = [0, 0, 0];
  connection.onMessage((text) => {
    asked++;
    const sent = connection.send(text);
    most = Math.max(most, connection.unsent);
    return sent;
  });
  client.on('message', () => answered++);
  client.pause();
  // 40 MB of each: more than the buffers of both ends take.
  const [questions, question] = [4000, 'x'.repeat(10_000)];
  for (let n = 0; n < questions; n++) client.send(question);
  await expect.poll(() => connection.unsent).toBeGreaterThan(UNSENT_MOST);
  expect(await settled(() => asked)).toBeLessThan(questions);
  // What arrived together with the message that was one too many is answered as well.
  expect(most).toBeLessThan(UNSENT_MOST + 2 ** 17);
  client.resume();
  await expect.poll(() => answered, { timeout: 20_000 }).toBe(questions);
}, 30_000);

test('who sends much is heard after a rest, and not at all where that would be too long', async () => {
  const rests = [0, 300, 6000];
  const { client, connection } = await join(() => rests.shift() ?? 0);
  const heard: string[] = [];
  connection.onMessage(async (text) => void heard.push(text));
  const closed = once(client, 'close');
  client.send('hello');
  client.send('first');
  await expect.poll(() => heard).toEqual(['hello', 'first']);
  client.send('second');
  await expect.poll(() => heard).toEqual(['hello', 'first', 'second']);
  client.send('third');
  client.send('fourth');
  expect((await closed)[0]).toBe(1013);
  expect(heard).toEqual(['hello', 'first', 'second']);
});

/** Its value once that is the same through twenty looks, some time apart. */
async function settled(value: () => number): Promise<number> {
  let [last, looks] = [-1, 0];
  await expect
    .poll(() => {
      looks = value() === last ? looks + 1 : 0;
      last = value();
      return looks;
    })
    .toBeGreaterThan(20);
  return last;
}

async function join(heard = () => 0): Promise<{ client: WebSocket; connection: Connection }> {
  const http = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void http.close());
  await once(http, 'listening');
  const client = new WebSocket(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`);
  onTestFinished(() => client.terminate());
  const [request, stream, head] = await once(http, 'upgrade');
  const origin = { address: '', authorization: undefined, unsentMost: UNSENT_MOST, heard, log: pino() };
  const made = Promise.withResolvers<Connection>();
  new WebSocketServer({ noServer: true }).handleUpgrade(request, stream, head, (socket) =>
    made.resolve(new Connection(socket, stream, origin)),
  );
  const connection = await made.promise;
  connection.greeted();
  if (client.readyState !== WebSocket.OPEN) await once(client, 'open');
  return { client, connection };
}
