import { WebSocket } from 'ws';

/** A websocket that is ready for subscriptions; each is told of its payloads. */
export async function openSocket(url) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
  const heard = new Map();
  const ready = new Promise((resolve, reject) => {
    socket.on('open', () => socket.send('{"type":"connection_init"}'));
    socket.on('error', reject);
    socket.on('message', (data) => {
      const { type, id, payload } = JSON.parse(data.toString());
      if (type === 'connection_ack') resolve();
      else heard.get(id)?.(payload);
    });
  });
  await ready;
  const subscribe = (id, query, onPayload, variables = {}) => {
    heard.set(id, onPayload);
    socket.send(JSON.stringify({ id, type: 'subscribe', payload: { query, variables } }));
  };
  return { subscribe, close: () => socket.terminate() };
}
