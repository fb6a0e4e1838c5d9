/**
 * Clients that write now and then, and read their own write next: one row each, nine reads to a write. What they read of
 * their row is compared with what they wrote last. Prints requests per second, and how many of the reads were stale.
 */
import { Pool } from 'undici';

let text = '';
for await (const chunk of process.stdin) text += chunk;
const { url, headers, asks, seconds } = JSON.parse(text);

const pool = new Pool(url, { connections: asks.length, pipelining: 1 });
const until = performance.now() + seconds * 1000;
const counts = { requests: 0, afterWrite: 0, stale: 0 };

async function send({ method, path, headers: own, body }, bookmark) {
  const sent = { ...headers, ...own, ...(bookmark && { 'readback-bookmark': bookmark }) };
  const response = await pool.request({ method, path, headers: sent, body });
  const answer = await response.body.text();
  if (response.statusCode >= 300 || answer.includes('"errors"')) throw new Error(`${path}: ${answer.slice(0, 300)}`);
  counts.requests++;
  return { answer, bookmark: response.headers['readback-bookmark'] };
}

/** Each value is written once, so an answer that has it has read the latest write. */
async function session({ read, write, others }) {
  for (let n = 0; performance.now() < until; n++) {
    const value = `Value${process.pid}x${n}x`;
    const { bookmark } = await send({ ...write, body: write.body.replace('VALUE', value) });
    const { answer } = await send(read, bookmark);
    counts.afterWrite++;
    if (!answer.includes(value)) counts.stale++;
    for (const other of others) await send(other, bookmark);
  }
}

const started = performance.now();
await Promise.all(asks.map(session));
const took = (performance.now() - started) / 1000;
await pool.close();
const { requests, stale, afterWrite } = counts;
console.log(JSON.stringify({ answered: requests, perSecond: requests / took, stale: (100 * stale) / afterWrite }));
