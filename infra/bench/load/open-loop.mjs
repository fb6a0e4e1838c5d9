/**
 * Requests at a constant rate, whether or not earlier ones were answered. Each is timed from when it was due, so that a
 * server that stalls is charged for everything that waited meanwhile. Reads its task from stdin, prints quantiles in ms.
 */
import { Pool } from 'undici';
import { quantile } from '../report/rounds.mjs';

let text = '';
for await (const chunk of process.stdin) text += chunk;
const { url, requests, perSecond, seconds } = JSON.parse(text);

const pool = new Pool(url, { connections: 64, pipelining: 1 });
const took = [];
const failures = [];
const underWay = new Set();

async function send(number, due) {
  const { method, path, headers, body } = requests[number % requests.length];
  const response = await pool.request({ method, path, headers, body });
  const answer = await response.body.text();
  took.push(performance.now() - due);
  if (response.statusCode >= 300 || answer.includes('"errors"')) failures.push(answer.slice(0, 300));
}

const started = performance.now();
const most = Math.floor(perSecond * seconds);
await new Promise((resolve) => {
  let sent = 0;
  const tick = () => {
    for (let due; sent < most && (due = started + (sent * 1000) / perSecond) <= performance.now(); sent++) {
      const request = send(sent, due).finally(() => underWay.delete(request));
      underWay.add(request);
    }
    if (sent < most) setTimeout(tick, 1);
    else resolve();
  };
  tick();
});
await Promise.all(underWay);
await pool.close();
if (failures.length > 0) throw new Error(`${failures.length} of ${most} requests failed: ${failures[0]}`);
console.log(JSON.stringify({ p50: quantile(took, 0.5), p99: quantile(took, 0.99) }));
