import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { asBytes, Outlet, type OutletOptions, type Sink } from './outlet.ts';

const options: OutletOptions = { bufferBytes: 1e6, slowClientTimeoutMs: 1000, gaveUp() {} };
const HEAD = '{"id":"ä","type":"next","payload":';
const HEAD_BYTES = Buffer.byteLength(HEAD);

test('messages of every length arrive whole and in order, in one write', async () => {
  const { sink, heard, writes } = await join();
  const lengths = [HEAD_BYTES + 3, 125, 126, 127, 65_535, 65_536, 70_000];
  const tails = lengths.map((length, n) => `ü${String(n).repeat(length - HEAD_BYTES - 3)}}`);
  expect(new Outlet(sink, 'ä', options).send(tails.map((tail) => ({ tail: asBytes(tail) })))).toBe(lengths.length);
  await expect.poll(() => heard.length).toBe(lengths.length);
  expect(heard).toEqual(tails.map((tail) => HEAD + tail));
  expect(writes()).toBe(1);
});

test('the message that fills the socket is the last, until it has left', async () => {
  const { sink, heard } = await join();
  const outlet = new Outlet(sink, 'ä', { ...options, bufferBytes: 100 });
  const message = { tail: asBytes('"x"}') };
  expect(outlet.send(Array.from({ length: 5 }, () => message))).toBe(3);
  expect(outlet.isFull).toBe(true);
  await outlet.drained();
  expect(outlet.isFull).toBe(false);
  await expect.poll(() => heard.length).toBe(3);
  const overfull = new Outlet({ ...sink, isOpen: true, unsent: 200 }, 'ä', { ...options, bufferBytes: 100 });
  expect(overfull.send([message, message])).toBe(1);
});

async function join() {
  const http = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void http.close());
  await once(http, 'listening');
  const client = new WebSocket(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`);
  const heard: string[] = [];
  client.on('message', (data: Buffer) => heard.push(data.toString()));
  onTestFinished(() => client.terminate());
  const [request, stream, head] = await once(http, 'upgrade');
  let writes = 0;
  const write = (frames: string, left?: () => void) => {
    writes++;
    stream.write(frames, 'latin1', left);
  };
  const sink: Sink = { isOpen: true, unsent: 0, write, read: async () => {}, end() {} };
  new WebSocketServer({ noServer: true }).handleUpgrade(request, stream, head, () => {});
  return { sink, heard, writes: () => writes };
}
