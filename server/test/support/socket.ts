import { WebSocket } from 'ws';
import type { TestServer } from './server.ts';

/** A raw graphql-transport-ws connection: its messages, and how it closes. */
export function connect(to: Pick<TestServer, 'url'>, payload: object = {}) {
  const socket = new WebSocket(`${to.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
  const closed = new Promise<number>((resolve) => socket.on('close', resolve));
  const answers = new Map<string, (message: any) => void>();
  const acknowledged = new Promise<void>((resolve) =>
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString());
      if (message.type === 'connection_ack') resolve();
      answers.get(message.id)?.(message);
    }),
  );
  socket.on('open', () => socket.send(JSON.stringify({ type: 'connection_init', payload })));
  const run = (query: string, variables: object = {}) =>
    new Promise<any>((resolve) => {
      const id = crypto.randomUUID();
      answers.set(id, resolve);
      socket.send(JSON.stringify({ id, type: 'subscribe', payload: { query, variables } }));
    });
  return { socket, closed, acknowledged, run };
}
