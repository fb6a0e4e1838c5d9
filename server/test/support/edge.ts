import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import type { Config } from '../../boot/config.ts';
import { send } from './raw.ts';
import { startServer, type TestServer } from './server.ts';

/** Starts more servers over the same databases, each until the end of its test. */
export const anotherOver =
  (server: () => TestServer) =>
  async (overrides: Partial<Config>, start = startServer): Promise<TestServer> => {
    const made = await start(overrides, server().databases);
    onTestFinished(() => made.stop());
    return made;
  };

export const handshake = (path: string, more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
  `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n${more}\r\n`;
export const QUERY = JSON.stringify({ query: '{ __typename }' });
export const json = { 'content-type': 'application/json' };
export const post = (url: string, headers: Record<string, string>, body: string | Buffer = QUERY) =>
  send(url, { method: 'POST', path: '/graphql', headers: { ...json, ...headers }, body });

/** What the server says to a websocket's handshake: 101, or its refusal. */
export async function websocket(url: string, headers: Record<string, string> = {}): Promise<number> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', { headers });
  const { promise, resolve } = Promise.withResolvers<number>();
  socket.on('open', () => resolve(101));
  socket.on('unexpected-response', (_, response) => resolve(response.statusCode ?? 0));
  socket.on('error', () => undefined);
  try {
    return await promise;
  } finally {
    socket.terminate();
  }
}
