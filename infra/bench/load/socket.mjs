import { WebSocket } from 'ws';

const PROTOCOL = 'graphql-transport-ws';

/** A websocket that is ready for subscriptions; each is told of its payloads. */
export async function openSocket({ url, headers = {} }) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, PROTOCOL, { headers });
  const heard = new Map();
  const ready = new Promise((resolve, reject) => {
    socket.on('open', () => socket.send('{"type":"connection_init"}'));
    socket.on('error', reject);
    socket.on('close', (code, reason) => reject(new Error(`${url} closed the websocket: ${code} ${String(reason)}`)));
    socket.on('message', (data) => {
      const { type, id, payload } = JSON.parse(data.toString());
      if (type === 'connection_ack') resolve();
      else if (type === 'ping') socket.send('{"type":"pong"}');
      else if (type === 'error') throw new Error(`the subscription failed: ${JSON.stringify(payload)}`);
      else heard.get(id)?.(payload);
    });
  });
  await ready;
  const subscribe = (id, query, onPayload) => {
    heard.set(id, onPayload);
    socket.send(JSON.stringify({ id, type: 'subscribe', payload: { query } }));
  };
  return { subscribe, close: () => socket.terminate() };
}
