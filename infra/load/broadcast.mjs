/** The floor: a bare websocket broadcast. `node broadcast.mjs`; whoever sends `{"all": n}` has it sent to all. */
import { WebSocketServer } from 'ws';

const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
server.on('connection', (socket) => {
  socket.on('message', (data) => {
    const text = data.toString();
    for (const client of server.clients) client.send(text);
  });
});
server.on('listening', () => console.log(`listening ${server.address().port}`));
process.on('SIGTERM', () => process.exit());
