import { effect, signal } from '@preact/signals';
import { createClient } from 'graphql-ws/client';
import { authorization, noteRefusal, token } from '../sign-in.tsx';
import { exactly } from './json.ts';

export type Connection = 'connecting' | 'open' | 'lost';
export const connection = signal<Connection>('connecting');

const PING_MS = 5000;
/** A connection that is silent for so long after a ping is dead, though nobody closed it. */
const PONG_MS = 3000;
/** Of graphql-transport-ws: unauthorized, forbidden. */
const REFUSED: Record<number, string> = { 4401: 'UNAUTHENTICATED', 4403: 'FORBIDDEN' };

const url = new URL('/graphql', location.href);
url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';

let silence: ReturnType<typeof setTimeout> | undefined;

/** Does not connect again by itself: who follows something does, and says from where to go on. */
export const socket = createClient({
  url: url.href,
  jsonMessageReviver: exactly,
  connectionParams: authorization,
  retryAttempts: 0,
  connectionAckWaitTimeout: 5000,
  keepAlive: PING_MS,
  on: {
    connected: () => (connection.value = 'open'),
    closed: (event) => {
      clearTimeout(silence);
      connection.value = 'lost';
      const code = REFUSED[(event as CloseEvent).code];
      if (code) noteRefusal(code, 'This server asks who you are.');
    },
    ping: (received) => {
      if (!received) silence = setTimeout(() => socket.terminate(), PONG_MS);
    },
    pong: (received) => {
      if (received) clearTimeout(silence);
    },
  },
});

/** With another token the page connects again: the server reads it at the start of a connection. */
effect(() => {
  void token.value;
  socket.terminate();
});
