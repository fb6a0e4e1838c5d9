/**
 * Requests at a constant rate, whether or not earlier ones were answered. Each is timed from when it was due, so that a
 * server that stalls is charged for everything that waited meanwhile. Those of the first seconds, in which this process
 * itself is slow, are not counted. Reads its task from stdin, prints quantiles in ms.
 */
import { Pool } from 'undici';
import { quantile } from '../report/rounds.mjs';

const UNCOUNTED_S = 2;

let text = '';
for await (const chunk of process.stdin) text += chunk;
const { url, requests, perSecond, seconds } = JSON.parse(text);

const pool = new Pool(url, { connections: 64, pipelining: 1 });
const first = Math.ceil(perSecond * UNCOUNTED_S);
const most = first + Math.floor(perSecond * seconds);
const took = [];
const failures = [];
let answered = 0;
const { promise: allAnswered, resolve: end } = Promise.withResolvers();

/** The pool's own handlers rather than a promise and a stream for each answer: the processors are the server's, too. */
class Answer {
  #number;
  #due;

  constructor(number, due) {
    this.#number = number;
    this.#due = due;
  }

  onRequestStart() {}

  onResponseStart(_, status) {
    if (status >= 300) failures.push(`status ${status}`);
  }

  onResponseData(_, chunk) {
    if (chunk.includes('"errors"')) failures.push(chunk.toString().slice(0, 300));
  }

  onResponseEnd() {
    if (this.#number >= first) took.push(performance.now() - this.#due);
    if (++answered === most) end();
  }

  onResponseError(_, error) {
    failures.push(String(error));
    if (++answered === most) end();
  }
}

const started = performance.now();
let sent = 0;
const tick = () => {
  for (let due; sent < most && (due = started + (sent * 1000) / perSecond) <= performance.now(); sent++)
    pool.dispatch(requests[sent % requests.length], new Answer(sent, due));
  if (sent < most) setTimeout(tick, 1);
};
tick();
await allAnswered;
await pool.close();
if (failures.length > 0) throw new Error(`${failures.length} of ${most} requests failed: ${failures[0]}`);
console.log(JSON.stringify({ p50: quantile(took, 0.5), p99: quantile(took, 0.99) }));
