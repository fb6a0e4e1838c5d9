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
const KEEP_MS = 500;

/**
 * The feed begins with the latest changes. A tab that was on this page keeps its place, with the changes that it had, as
 * long as the tab lives, and goes on from there. It is kept as changes come, too: a browser may tell the page that it was
 * left when the next one has begun.
 */
function goOnFromBefore(): void {
  const kept = sessionStorage.getItem(KEY);
  if (kept !== null) feed.restore(JSON.parse(kept, exactly) as Place);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isTooMuch = false;
  const keep = () => {
    timer = undefined;
    const { place } = feed;
    const text = place && JSON.stringify(place);
    isTooMuch = text !== null && text.length > MOST_KEPT;
    if (text === null || isTooMuch) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, text);
  };
  effect(() => {
    if (feed.rows.value.length > 0 && !isTooMuch) timer ??= setTimeout(keep, KEEP_MS);
  });
  addEventListener('pagehide', keep);
}
