import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

interface Sent {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
}

/** A request with any header, Host and Upgrade included, which fetch keeps for itself. */
export async function send(
  url: string,
  { method = 'GET', path = '/', headers = {}, body }: Sent = {},
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const sent = request({ hostname, port, method, path, headers: { ...length, ...headers }, agent: false });
  sent.end(body);
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>();
  sent.once('error', reject);
  sent.once('upgrade', ({ headers: got }, socket) => {
    socket.destroy();
    resolve({ status: 101, headers: got, text: '' });
  });
  sent.once('response', (response) => {
    const { statusCode = 0, headers: got } = response;
    response.setEncoding('utf8');
    let text = '';
    response.on('data', (chunk: string) => (text += chunk));
    response.once('end', () => resolve({ status: statusCode, headers: got, text }));
    response.once('error', reject);
  });
  return promise;
}

/** A connection with these bytes sent on it. It listens to errors, as whoever resets one gets them back. */
export async function open(url: string, bytes = ''): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  if (bytes !== '') socket.write(bytes);
  return socket;
}

/** All that comes on it until it is closed. */
export async function heard(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => (text += String(chunk)));
  if (!socket.closed) await once(socket, 'close');
  return text;
}
