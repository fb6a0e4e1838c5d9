import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Config } from '../boot/config.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { person, startProtected } from './support/people.ts';
import { startServer, type TestServer } from './support/server.ts';
import { connect } from './support/socket.ts';
import { subscribeTo } from './support/subscribe.ts';

/** What a user, an address and a subscription may cost the others. */
let databases: TestDatabases;
beforeAll(async () => void (databases = await freshDatabases()));
afterAll(() => databases.drop());

async function using<T>(overrides: Partial<Config>, work: (server: TestServer) => Promise<T>): Promise<T> {
  const server = await startServer(overrides, databases);
  try {
    return await work(server);
  } finally {
    await server.stop();
  }
}

describe('what a subscription holds is bounded', () => {
  test('an id has 128 bytes at most: with a longer one the websocket is closed, and told why', async () => {
    await using({}, async (server) => {
      const subscribe = async (id: string) => {
        const { socket, acknowledged } = connect(server);
        await acknowledged;
        const { promise, resolve } = Promise.withResolvers<string>();
        socket.on('message', (data: Buffer) => resolve(`answered ${JSON.parse(data.toString()).type}`));
        socket.on('close', (code, reason) => resolve(`${code} ${reason.toString()}`));
        socket.send(JSON.stringify({ id, type: 'subscribe', payload: { query: '{ __typename }' } }));
        const heard = await promise;
        socket.terminate();
        return heard;
      };
      expect(await subscribe('x'.repeat(128))).toBe('answered next');
      expect(await subscribe('é'.repeat(65))).toBe('4400 An id has 128 bytes at most, got 130: choose a shorter one');
    });
  });

  test('its document and variables have SUBSCRIPTION_BYTES_MAX bytes; what it does not declare is not held', async () => {
    await using({ SUBSCRIPTION_BYTES_MAX: 2000 }, async (server) => {
      const client = server.websocket();
      const document = 'subscription ($after: Cursor) { changes(after: $after) { __typename } }';
      const refused = await subscribeTo(client, document, { after: 'x'.repeat(2000) }).failure();
      expect(refused).toMatchObject([{ extensions: { code: 'QUERY_TOO_COMPLEX' } }]);
      expect(refused[0]!.message).toBe(
        'The operation holds 2083 bytes as long as it lasts, its document and variables, and 2000 are the most: ask for less at a time.',
      );
      const { acknowledged, socket } = connect(server);
      await acknowledged;
      const held = heapBytes();
      for (let n = 10; n < 50; n++) {
        const variables = { undeclared: `${n}`.repeat(500_000) };
        socket.send(JSON.stringify({ id: `${n}`, type: 'subscribe', payload: { query: document, variables } }));
      }
      await expect.poll(() => server.subscribers(), { timeout: 10_000 }).toBe(40);
      await expect.poll(() => heapBytes() - held, { timeout: 10_000 }).toBeLessThan(20_000_000);
      socket.terminate();
    });
  });
});

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

test('equal documents are one group, however they are written', async () => {
  await using({}, async (server) => {
    const client = server.websocket();
    const same: [string, object?][] = [
      ['subscription { userChanged(operations: [INSERT]) { key user { ...U } } } fragment U on User { id }'],
      ['subscription Named { userChanged(operations: [INSERT]) { key user { ...U } } } fragment U on User { id } # x'],
      ['subscription {\n\nuserChanged(operations:[INSERT,]){key user{...U}}}fragment U on User{id}'],
      [
        'query Other { __typename } fragment U on User { id } subscription Named { userChanged(operations: [INSERT]) { key user { ...U } } }',
      ],
    ];
    const declared: [string, object][] = [
      ['subscription ($o: [Operation!]) { userChanged(operations: $o) { key } }', { o: ['INSERT'] }],
      ['subscription A($o: [Operation!] = [INSERT]) { userChanged(operations: $o) { key } }', { x: 1 }],
      ['subscription ($o: [Operation!]! = [DELETE]) { userChanged(operations: $o) { key } }', { o: ['INSERT'] }],
    ];
    const { acknowledged, socket } = connect(server);
    await acknowledged;
    const send = ([query, variables]: [string, object?], n: number) =>
      socket.send(
        JSON.stringify({
          id: `${n}`,
          type: 'subscribe',
          payload: { query, variables, ...(query.includes('Other') && { operationName: 'Named' }) },
        }),
      );
    [...same, ...declared].forEach(send);
    await expect.poll(() => server.subscribers()).toBe(7);
    expect(server.groups()).toBe(2);
    socket.terminate();
    await client.dispose();
    await expect.poll(() => server.groups()).toBe(0);
  });
});

describe('passwords', () => {
  /** Sign-ups in one document, each with a name of its own. */
  const signUps = (name: string, count: number) =>
    `mutation { ${Array.from(
      { length: count },
      (_, n) =>
        `u${n}: createUser(input: { username: "${name}-${n}", email: "${name}-${n}@example.com", password: "correct horse" }) { user { id } }`,
    ).join(' ')} }`;
  const created = async (name: string) =>
    (await databases.primary`select from users where username like ${`${name}-%`}`).length;
  const post = ({ url }: TestServer, query: string, signal?: AbortSignal) =>
    fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
      ...(signal && { signal }),
    });

  test('are hashed for nobody who has hung up, and not past the time of an operation', async () => {
    const many = { QUERY_ALIASES_MAX: 1000, QUERY_TOKENS_MAX: 20_000, QUERY_CHARACTERS_MAX: 1_000_000 };
    await using({ HASH_CONCURRENCY: 1, OPERATION_TIMEOUT_MS: 4000, ...many }, async (server) => {
      const controller = new AbortController();
      const left = post(server, signUps('left', 300), controller.signal).catch(() => 'gone');
      await expect.poll(() => created('left')).toBeGreaterThan(0);
      controller.abort();
      expect(await left).toBe('gone');
      const then = await created('left');
      // They take turns with whatever else is hashed: as many as these would follow.
      const late = await server.query<any, object>(signUps('late', 300));
      expect(late.errors.at(-1)!.extensions.code).toBe('TIMEOUT');
      const inTime = await created('late');
      for (let n = 0; n < 10; n++) expect((await server.query(signUps(`after${n}`, 1))).errors).toEqual([]);
      expect((await created('left')) - then).toBeLessThanOrEqual(1);
      expect((await created('late')) - inTime).toBeLessThanOrEqual(1);
    });
  });

  test('are hashed in turn: one network’s sign-ups make another’s sign-in wait for one hash, not for all', async () => {
    const server = await startProtected(
      { HASH_CONCURRENCY: 1, SIGN_UPS_PER_ADDRESS_MAX: 1000, TRUST_PROXY: ['127.0.0.0/8'] },
      databases,
    );
    try {
      const { username } = await person(server);
      const flood = Array.from({ length: 20 }, (_, n) =>
        server.query(signUps(`flood${n}`, 3), {}, { 'x-forwarded-for': '192.0.2.1' }),
      );
      await expect.poll(() => created('flood%')).toBeGreaterThan(0);
      const before = await created('flood%');
      const query = `mutation { signIn(login: "${username}", password: "correct horse") { token } }`;
      const { errors } = await server.query(query, {}, { 'x-forwarded-for': '192.0.2.2' });
      expect(errors).toEqual([]);
      expect((await created('flood%')) - before).toBeLessThan(10);
      await Promise.all(flood);
    } finally {
      await server.stop();
    }
  });
});

describe('what is read', () => {
  const rows = (count: number) => `{ users(first: ${count}) { nodes { id } } }`;

  test('is paid for before: a user in debt is told so by HTTP, REST and websocket, and others are not', async () => {
    // Three seconds are saved up.
    const server = await startProtected({ COST_PER_SECOND_MAX: 20 }, databases);
    try {
      const [ada, grace] = [await person(server), await person(server)];
      expect((await server.query(rows(90), {}, ada.headers)).errors).toEqual([]);
      expect((await server.query(rows(10), {}, grace.headers)).errors).toEqual([]);
      const { status, headers, errors } = await server.query(rows(10), {}, ada.headers);
      expect([status, errors[0]!.extensions.code]).toEqual([429, 'RATE_LIMITED']);
      expect(errors[0]!.message).toMatch(
        /^Your operations may read 20 rows a second, .* this one may read 11: try again in \d+ s, or ask for less at a time\.$/,
      );
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      const rest = await server.rest('GET', '/api/users?limit=10', undefined, ada.headers);
      expect([rest.status, rest.body.error]).toEqual([429, 'RATE_LIMITED']);
      expect(Number(rest.headers.get('retry-after'))).toBeGreaterThan(0);
      const client = server.websocket(ada.token);
      const failure = await subscribeTo(client, rows(10)).failure();
      expect(failure).toMatchObject([{ extensions: { code: 'RATE_LIMITED', retryAfter: expect.any(Number) } }]);
      expect((await server.query(rows(10), {}, grace.headers)).errors).toEqual([]);
    } finally {
      await server.stop();
    }
  });

  test('one who waits for the database leaves room for others', { timeout: 60_000 }, async () => {
    const server = await startProtected({ COST_PER_SECOND_MAX: 20_000 }, databases);
    try {
      const [ada, grace] = [await person(server), await person(server)];
      const [replica] = databases.replicas;
      await replica!.begin(async (held) => {
        await held`lock table posts in access exclusive mode`;
        const stuck = Array.from({ length: 15 }, (_, n) => [
          server.query(`{ posts(first: 1, filter: { search: "${n}" }) { totalCount } }`, {}, ada.headers),
          server.query(`{ posts(first: ${n}) { nodes { id } } }`, {}, ada.headers),
        ]).flat();
        const waiting = async () =>
          (await replica!`select from pg_locks where not granted and relation = 'posts'::regclass`).length;
        await expect.poll(waiting).toBeGreaterThan(2);
        for (let n = 1; n < 6; n++)
          expect(
            (await server.query(`{ users(first: ${n}) { totalCount nodes { id } } }`, {}, grace.headers)).errors,
          ).toEqual([]);
        expect(await Promise.race([...stuck, Promise.resolve('they wait')])).toBe('they wait');
      });
    } finally {
      await server.stop();
    }
  });

  test('a count costs what it reads', async () => {
    const { primary } = databases;
    await primary`insert into users (username, email, password_hash)
      select 'many-' || n, 'many-' || n || '@example.com', '-' from generate_series(1, 20000) n`;
    await primary`analyze users`;
    const filters = (count: number) =>
      `{ ${Array.from({ length: count }, (_, n) => `u${n}: users(first: 1, filter: { search: "many-${n}" }) { totalCount }`).join(' ')} }`;
    await using({}, async (server) => {
      // A row for each twenty, each time.
      await expect
        .poll(async () => (await server.query(filters(60))).errors[0]?.message, { timeout: 10_000 })
        .toMatch(/^The operation may read (6\d{4}|7\d{4}) rows and more, and 50000 are the most/);
      expect((await server.query(filters(20))).errors).toEqual([]);
    });
    await primary`delete from users where username like 'many-%'`;
  });
});

test('subscriptions have a sum of what an event may read, for a user and for an address', async () => {
  const limits = { SUBSCRIPTION_COST_PER_USER_MAX: 100, SUBSCRIPTION_COST_PER_ADDRESS_MAX: 150 };
  const server = await startProtected(limits, databases);
  try {
    const open = ({ token }: { token: string }, name: string) =>
      subscribeTo<object>(
        server.websocket(token),
        `subscription { changes { __typename ... on UserChange { ${name}: user { posts(first: 60) { nodes { id } } } } } }`,
      );
    const [ada, grace] = [await person(server), await person(server)];
    const first = open(ada, 'a');
    await first.next();
    const refused = await open(ada, 'b').failure();
    expect(refused[0]!.message).toBe(
      'You may have subscriptions that read 100 rows for an event, all together: those that are open may read 63, and this one 63. End one first, or ask for less.',
    );
    await open(grace, 'a').next();
    const third = await person(server);
    expect((await open(third, 'a').failure())[0]!.message).toMatch(/^Your address may have .* 150 rows/);
    await first.end();
    await expect
      .poll(() =>
        open(third, 'a')
          .next()
          .then(
            () => 'open',
            () => 'refused',
          ),
      )
      .toBe('open');
  } finally {
    await server.stop();
  }
});

test('large bodies are paid for before they are read, by a user or an address, and small ones are not', async () => {
  const server = await startProtected({ COST_PER_SECOND_MAX: 20_000 }, databases);
  try {
    const [ada, grace] = [await person(server), await person(server)];
    const send = async (bytes: number, headers: Record<string, string> = {}) => {
      const body = JSON.stringify({ query: '{ __typename }', variables: { x: 'x'.repeat(bytes) } });
      const json = { 'content-type': 'application/json' };
      const sent = await fetch(`${server.url}/graphql`, { method: 'POST', headers: { ...json, ...headers }, body });
      await sent.arrayBuffer();
      return sent.status;
    };
    const many = await Promise.all(Array.from({ length: 20 }, () => send(1_000_000, ada.headers)));
    expect(many.filter((status) => status === 429).length).toBeGreaterThan(5);
    expect([await send(5000, ada.headers), await send(1_000_000, grace.headers), await send(1_000_000)]).toEqual([
      200, 200, 200,
    ]);
  } finally {
    await server.stop();
  }
});
