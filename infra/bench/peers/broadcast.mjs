/** The floor of fan-out: each event, as it is, to every websocket. */
import { WebSocketServer } from 'ws';
import { listen } from './listen.mjs';
import { createPublishing } from './publish.mjs';

const server = createPublishing((event) => {
  const message = { id: 'f3b0c442-98fc-4c14-9afb-f4c8996fb924', type: 'next', payload: { data: event } };
  const frame = Buffer.from(JSON.stringify(message));
  for (const client of sockets.clients) client.send(frame, { binary: false });
});
const sockets = new WebSocketServer({ server });
await listen(server);
