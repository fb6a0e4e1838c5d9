/**
 * Figures of the change feed and of bookmarks, on a fresh pair: npm run measure. Load, databases and server share the
 * machine; each figure says what it is compared with, in the same run.
 */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { cpuMs, ms, quantile, rssMb, startPair, startServer } from './pair.mjs';
import { openSocket } from './socket.mjs';

const say = (line) => console.log(line);
const EVENT =
  'subscription { userChanged { key operation committedAt user { id username email firstName lastName isActive createdAt updatedAt } } }';
const MARKED = 'subscription { changes(tables: ["users"]) { ... on CaughtUp { cursor } ... on UserChange { key } } }';

const pair = await startPair();
const { primary, replica } = pair;
let server = await startServer(pair);
try {
  await primary`insert into users (username, email, password_hash) select 'u' || n, n || '@example.com', '-' from generate_series(1, 100000) n`;
  await settled();
  await commitToEvent();
  await bookmarkWait();
  await bigTransaction();
  await fanOut();
  await idleSubscribers();
  await server.stop();
  server = undefined;
  await triggerCost();
} finally {
  await server?.stop();
  await pair.stop();
}

/** Everything that was written is on the replica. */
async function settled() {
  const marker = crypto.randomUUID();
  await primary`update users set last_name = ${marker} where username = 'u99999'`;
  while ((await replica`select from users where last_name = ${marker}`).length === 0) await sleep(10);
}

async function commitToEvent() {
  const socket = await openSocket(server.url);
  let [wanted, arrived] = [undefined, undefined];
  const hear = ({ data }) => data.userChanged.user.firstName === wanted && arrived(performance.now());
  socket.subscribe('1', EVENT, hear);
  await sleep(500);
  const waits = [];
  for (let n = 0; n < 1000; n++) {
    wanted = `e${n}`;
    const event = new Promise((resolve) => (arrived = resolve));
    await primary`update users set first_name = ${wanted} where username = 'u1'`;
    const committed = performance.now();
    waits.push((await event) - committed);
  }
  socket.close();
  say(`commit to event, idle, 1000 times: p50 ${ms(quantile(waits, 0.5))}, p99 ${ms(quantile(waits, 0.99))}`);
}

async function bookmarkWait() {
  const [{ id }] = await primary`select id from users where username = 'u2'`;
  const post = async (query, headers = {}) => {
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ query }),
    });
    return (await response.json()).extensions.readback;
  };
  const [waits, plain, sources] = [[], [], {}];
  for (let n = 0; n < 1000; n++) {
    const { bookmark } = await post(`mutation { updateUser(id: "${id}", input: { firstName: "b${n}" }) { bookmark } }`);
    const read = await post(`{ user(id: "${id}") { firstName } }`, { 'readback-bookmark': bookmark });
    waits.push(read.waitedMs);
    sources[read.source] = (sources[read.source] ?? 0) + 1;
    plain.push((await post(`{ user(id: "${id}") { firstName } }`)).waitedMs);
  }
  say(
    `wait for a fresh bookmark, idle, 1000 times: p50 ${ms(quantile(waits, 0.5))}, p99 ${ms(quantile(waits, 0.99))}, answered by ${JSON.stringify(sources)}; without one p99 ${ms(quantile(plain, 0.99))}`,
  );
}

async function bigTransaction() {
  const socket = await openSocket(server.url);
  let events = 0;
  socket.subscribe('1', EVENT, () => events++);
  await sleep(500);
  const quiet = await readsFor(() => sleep(3000));
  const before = rssMb(server.pid);
  let most = before;
  const watch = setInterval(() => (most = Math.max(most, rssMb(server.pid))), 50);
  const busy = await readsFor(async () => {
    await primary`update users set first_name = 'big'`;
    while (events < 100_000) await sleep(50);
  });
  clearInterval(watch);
  socket.close();
  say(
    `100,000 rows in one transaction: memory ${before.toFixed(0)} MB before, ${most.toFixed(0)} MB at most; reads meanwhile p50 ${ms(quantile(busy, 0.5))}, p99 ${ms(quantile(busy, 0.99))} (quiet ${ms(quantile(quiet, 0.5))}, ${ms(quantile(quiet, 0.99))})`,
  );
}

/** Times of eventual reads, one after the other, until the work is done. */
async function readsFor(work) {
  const times = [];
  let done = false;
  const reading = (async () => {
    while (!done) {
      const start = performance.now();
      await fetch(`${server.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'readback-consistency': 'eventual' },
        body: JSON.stringify({ query: '{ users(first: 1) { nodes { id } } }' }),
      }).then((r) => r.text());
      times.push(performance.now() - start);
    }
  })();
  await work();
  done = true;
  await reading;
  return times;
}

/** 1,000 subscribers of one operation, 100 events a second, for 10 s; then the same number of bytes by a bare broadcast. */
async function fanOut() {
  const [subscribers, rate, seconds] = [1000, 100, 10];
  let messages = 0;
  let sample;
  const sockets = [];
  for (let n = 0; n < subscribers; n++) {
    const socket = await openSocket(server.url);
    socket.subscribe(crypto.randomUUID(), EVENT, (payload) => (messages++, (sample = payload)));
    sockets.push(socket);
  }
  await sleep(1000);
  const ours = await spent(server.pid, async () => {
    for (let n = 0; n < rate * seconds; n++) {
      await primary`update users set first_name = ${`f${n}`} where username = 'u3'`;
      await sleep(1000 / rate - 1);
    }
    for (let n = 0; n < 100 && messages < subscribers * rate * seconds; n++) await sleep(100);
  });
  for (const socket of sockets) socket.close();
  const text = JSON.stringify({ id: crypto.randomUUID(), type: 'next', payload: sample });
  const bare = await bareBroadcast(subscribers, rate * seconds, rate, text);
  const each = (cpu, count) => (1000 * cpu) / count;
  say(
    `fan-out to ${subscribers}: ${messages} of ${subscribers * rate * seconds} delivered, ${each(ours, messages).toFixed(1)} µs of the server's processor each; a bare broadcast ${each(bare.cpu, bare.messages).toFixed(1)} µs; ratio ${(each(ours, messages) / each(bare.cpu, bare.messages)).toFixed(2)}`,
  );
}

async function spent(pid, work) {
  const before = cpuMs(pid);
  await work();
  return cpuMs(pid) - before;
}

async function bareBroadcast(clients, times, rate, text) {
  const child = spawn(process.execPath, [fileURLToPath(new URL('broadcast.mjs', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = await new Promise((resolve) => child.stdout.on('data', (data) => resolve(/\d+/.exec(String(data))[0])));
  let messages = 0;
  const sockets = [];
  for (let n = 0; n < clients; n++) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    socket.on('message', (data) => (JSON.parse(data.toString()), messages++));
    await new Promise((resolve) => socket.on('open', resolve));
    sockets.push(socket);
  }
  const cpu = await spent(child.pid, async () => {
    for (let n = 0; n < times; n++) {
      sockets[0].send(text);
      await sleep(1000 / rate - 1);
    }
    while (messages < clients * times) await sleep(100);
  });
  for (const socket of sockets) socket.terminate();
  child.kill();
  return { cpu, messages };
}

async function idleSubscribers() {
  const before = rssMb(server.pid);
  const sockets = [];
  let ready = 0;
  for (let n = 0; n < 2000; n++) {
    const socket = await openSocket(server.url);
    socket.subscribe(crypto.randomUUID(), MARKED, () => ready++);
    sockets.push(socket);
  }
  while (ready < 2000) await sleep(50);
  await sleep(3000);
  const after = rssMb(server.pid);
  for (const socket of sockets) socket.close();
  say(
    `idle subscribers: ${(((after - before) * 1024) / 2000).toFixed(1)} KB each (2,000 sockets; ${before.toFixed(0)} to ${after.toFixed(0)} MB)`,
  );
}

/** A 100,000-row update, applied with the trigger and without it, in turn. */
async function triggerCost() {
  const rounds = { with: [], without: [] };
  for (let round = 0; round < 3; round++) {
    for (const kind of round % 2 ? ['with', 'without'] : ['without', 'with']) {
      await replica.unsafe(
        `alter table users ${kind === 'with' ? 'enable always' : 'disable'} trigger readback_change`,
      );
      await replica`vacuum users`;
      const name = `${kind}${round}`;
      await primary`update users set first_name = ${name}`;
      const start = performance.now();
      while ((await replica`select from users where username = 'u77' and first_name = ${name}`).length === 0)
        await sleep(5);
      rounds[kind].push(performance.now() - start);
    }
  }
  await replica`alter table users enable always trigger readback_change`;
  const [a, b] = [quantile(rounds.with, 0.5), quantile(rounds.without, 0.5)];
  say(
    `applying 100,000 updated rows after their commit: ${a.toFixed(0)} ms with the log, ${b.toFixed(0)} ms without, ratio ${(a / b).toFixed(2)} (rounds ${JSON.stringify(rounds, (_, v) => (typeof v === 'number' ? Math.round(v) : v))})`,
  );
}
