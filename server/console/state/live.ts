import { effect } from '@preact/signals';
import { setClock } from '../api/clock.ts';
import { connection, socket } from '../api/socket.ts';
import { noteRefusal } from '../sign-in.tsx';
import { toldIn } from './documents.ts';
import { Feed } from './feed.ts';
import { startMeasuring } from './measures.ts';
import { followChosen } from './page.ts';
import { followReplication } from './replication.ts';
import { chosen, followSchema, loadIfMissing, tables } from './schema.ts';

const CLOCK_MS = 10_000;

export const feed = new Feed(socket, noteRefusal);

/** Everything that goes on by itself on this page. */
export function goLive(): void {
  followSchema();
  followChosen();
  effect(() => feed.tell(toldIn(tables.value ?? [], chosen.value)));
  feed.start();
  followReplication(socket);
  startMeasuring(feed);
  effect(() => {
    if (connection.value === 'lost') feed.lost();
    if (connection.value !== 'open') return;
    loadIfMissing();
    void setClock().catch(() => undefined);
  });
  setInterval(() => void setClock().catch(() => undefined), CLOCK_MS);
}
