import { effect } from '@preact/signals';
import { setClock } from '../api/clock.ts';
import { connection, socket } from '../api/socket.ts';
import { noteRefusal } from '../sign-in.tsx';
import { toldIn } from './documents.ts';
import { exactly } from '../api/json.ts';
import { Feed, type Place } from './feed.ts';
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
  goOnFromBefore();
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

const KEY = 'readback-feed';
/** Of what the tab keeps: a few megabytes are a browser's most. */
const MOST_KEPT = 1_000_000;

/**
 * The feed tells what happens from now on, and nothing of before. A tab that was on this page keeps its place when it is
 * left, with the latest changes, as long as the tab lives: then it goes on from there.
 */
function goOnFromBefore(): void {
  const kept = sessionStorage.getItem(KEY);
  if (kept !== null) feed.restore(JSON.parse(kept, exactly) as Place);
  addEventListener('pagehide', () => {
    const { place } = feed;
    const text = place && JSON.stringify(place);
    if (text && text.length <= MOST_KEPT) sessionStorage.setItem(KEY, text);
    else sessionStorage.removeItem(KEY);
  });
}
