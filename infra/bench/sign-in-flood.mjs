/**
 * What 10,000 wrong sign-ins from 100 connections do to everybody else: reads are measured before and during them, and
 * their p99 must stay under twice what it was. Afterwards the account's owner signs in from another address.
 *
 *   node infra/bench/sign-in-flood.mjs [URL]
 *
 * The server runs on this machine, over databases that may be written: ACCESS=protected REQUESTS_PER_SECOND_MAX=0
 * TRUST_PROXY=127.0.0.1 npm start
 */
import { spawn } from 'node:child_process';

const url = new URL(process.argv[2] ?? 'http://127.0.0.1:3000');
const FLOOD = { attempts: 10_000, connections: 100 };
const QUIET_MS = 5000;
const PAUSE_MS = 5;
const PASSWORD = 'correct horse battery';

if (!/^(127\.\d+\.\d+\.\d+|localhost|\[::1\])$/.test(url.hostname))
  throw new Error(`only on this machine, not on ${url.hostname}`);

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function send(query, variables, headers = {}) {
  const response = await fetch(new URL('/graphql', url), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ query, variables }),
  });
  return response.json();
}

const SIGN_IN =
  'mutation ($login: String!, $password: String!) { signIn(login: $login, password: $password) { token } }';

async function signUp() {
  const username = `flooded-${Date.now()}`;
  const input = { username, email: `${username}@example.com`, password: PASSWORD };
  const { data } = await send('mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } } }', {
    input,
  });
  const signedIn = await send(SIGN_IN, { login: username, password: PASSWORD }, { 'x-forwarded-for': '192.0.2.2' });
  return { username, id: data.createUser.user.id, token: signedIn.data.signIn.token };
}

/** One read after the other, until told to stop. */
async function measure({ id, token }, isOver) {
  const took = [];
  while (!isOver()) {
    const started = performance.now();
    const { errors } = await send(
      'query ($id: ID!) { user(id: $id) { username } }',
      { id },
      { authorization: `Bearer ${token}` },
    );
    took.push(performance.now() - started);
    if (errors) throw new Error(`a read failed: ${JSON.stringify(errors)}`);
    await pause(PAUSE_MS);
  }
  return took.toSorted((a, b) => a - b);
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
const describe = (sorted) =>
  `${sorted.length} reads, p50 ${quantile(sorted, 0.5).toFixed(1)} ms, p99 ${quantile(sorted, 0.99).toFixed(1)} ms`;

/** In a process of its own: what it waits for is not what the reads wait for. */
async function flood({ username }) {
  let left = FLOOD.attempts;
  const outcomes = {};
  const connection = async () => {
    while (left-- > 0) {
      const { errors } = await send(
        SIGN_IN,
        { login: username, password: 'wrong horse' },
        { 'x-forwarded-for': '192.0.2.1' },
      );
      const code = errors?.[0].extensions.code ?? 'SIGNED IN';
      outcomes[code] = (outcomes[code] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: FLOOD.connections }, connection));
  return outcomes;
}

async function floodApart({ username }) {
  const child = spawn(process.execPath, [import.meta.filename, url.href, username], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  for await (const chunk of child.stdout) said += chunk;
  return JSON.parse(said);
}

const [, , , floodedUsername] = process.argv;
if (floodedUsername !== undefined) {
  console.log(JSON.stringify(await flood({ username: floodedUsername })));
  process.exit();
}

const user = await signUp();
const until = performance.now() + QUIET_MS;
await measure(user, () => performance.now() > until - QUIET_MS / 2);
const quiet = await measure(user, () => performance.now() > until);
let isOver = false;
const started = performance.now();
const [outcomes, busy] = await Promise.all([
  floodApart(user).finally(() => (isOver = true)),
  measure(user, () => isOver),
]);
const seconds = (performance.now() - started) / 1000;
const owner = await send(SIGN_IN, { login: user.username, password: PASSWORD }, { 'x-forwarded-for': '192.0.2.3' });

console.log(`quiet   ${describe(quiet)}`);
console.log(`flooded ${describe(busy)}`);
console.log(
  `${FLOOD.attempts} wrong sign-ins from ${FLOOD.connections} connections in ${seconds.toFixed(1)} s: ${JSON.stringify(outcomes)}`,
);
console.log(`the owner, from elsewhere: ${owner.errors ? owner.errors[0].extensions.code : 'signed in'}`);
const isWell = quantile(busy, 0.99) < 2 * quantile(quiet, 0.99) && !owner.errors;
console.log(isWell ? 'ok' : 'FAILED: reads took more than twice as long, or the owner was locked out');
process.exitCode = isWell ? 0 : 1;
