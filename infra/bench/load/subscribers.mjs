/** Many subscribers in a process of their own, which count messages and parse none: started by audience.mjs. */
import { WebSocket } from 'ws';

const counts = [];

async function open({ url, headers, query, many }) {
  for (let n = 0; n < many; n++) await join(url, headers, query, counts.length);
  process.send({ opened: many });
}

/** Without a query the socket just listens: a bare broadcast has no subscriptions. */
function join(url, headers, query, place) {
  counts.push(0);
  const protocol = query ? 'graphql-transport-ws' : undefined;
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, protocol, { headers });
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', (code) => {
      throw new Error(`a subscriber's websocket was closed: ${code}`);
    });
    if (!query) socket.on('open', resolve);
    else socket.on('open', () => socket.send('{"type":"connection_init"}'));
    socket.on('message', (data) => {
      if (data.includes('"connection_ack"')) {
        socket.send(JSON.stringify({ id: crypto.randomUUID(), type: 'subscribe', payload: { query } }));
        resolve();
      } else if (data.includes('"errors"') || data.includes('"type":"error"')) {
        throw new Error(`a subscription failed: ${data.toString()}`);
      } else if (!data.includes('"type":"ping"')) counts[place]++;
    });
  });
}

process.on('message', (message) => {
  if (message === 'count') process.send({ total: counts.reduce((a, b) => a + b, 0), least: Math.min(...counts) });
  else void open(message);
});
process.on('disconnect', () => process.exit());
