import { once } from 'node:events';

/** Listens where it was told, says so, and goes when it is asked. */
export async function listen(server) {
  server.listen(Number(process.env.PORT), '127.0.0.1');
  await once(server, 'listening');
  console.log('listening');
  process.once('SIGTERM', () => process.exit());
}
