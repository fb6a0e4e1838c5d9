import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { Connection, Heartbeat } from './connection.ts';

test('a client that answers pings stays, one that does not is cut off', async () => {
  const heartbeat = new Heartbeat(20);
  const url = await serve(heartbeat);
  const [answering, silent] = [new WebSocket(url), new WebSocket(url, { autoPong: false })];
  onTestFinished(() => answering.terminate());
  let pings = 0;
  answering.on('ping', () => pings++);
  const [code] = await once(silent, 'close');
  expect(code).toBe(1006);
  const then = pings;
  await expect.poll(() => pings).toBeGreaterThan(then + 2);
  expect(answering.readyState).toBe(WebSocket.OPEN);
});

async function serve(heartbeat: Heartbeat): Promise<string> {
  const http = createServer().listen(0, '127.0.0.1');
  const sockets = new WebSocketServer({ noServer: true, clientTracking: false });
  http.on('upgrade', (request, stream, head) =>
    sockets.handleUpgrade(request, stream, head, (socket) => {
      const connection = new Connection(socket, stream, {
        address: '',
        authorization: undefined,
        unsentMost: 1e6,
        heard: () => 0,
        log: pino(),
      });
      connection.greeted();
      socket.on('pong', (data) => connection.ponged(data));
      heartbeat.add(connection);
    }),
  );
  onTestFinished(() => {
    heartbeat.stop();
    http.close();
  });
  await once(http, 'listening');
  return `ws://127.0.0.1:${(http.address() as AddressInfo).port}`;
}
