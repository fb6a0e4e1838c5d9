import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getIntrospectionQuery, print } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { ChangesDocument, UsersDocument } from '../../schema/generated/operations.ts';
import type { Config } from '../boot/config.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { startServer, type TestServer } from './support/server.ts';
import { person, startProtected } from './support/people.ts';
import { subscribeTo } from './support/subscribe.ts';

/** Every limit, on every way in. */
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

/** The codes that a query, or a subscription, gets over a websocket. */
async function overSocket(
  server: TestServer,
  query: string,
  extensions?: Record<string, unknown>,
  variables: object = {},
): Promise<string[]> {
  const client = server.websocket();
  const errors = await client
    .iterate({ query, variables: { ...variables }, ...(extensions && { extensions }) })
    .next()
    .then(({ value }) => value?.errors ?? [])
    .catch((failure: unknown) => failure as object[]);
  await client.dispose();
  return errors.map(({ extensions: { code } }: any) => code as string);
}

/** GET, as REST and GraphQL have it. */
async function get(server: TestServer, query: string) {
  const response = await fetch(`${server.url}/graphql?query=${encodeURIComponent(query)}`, {
    headers: { 'apollo-require-preflight': 'x' },
  });
  const { errors = [] } = (await response.json()) as any;
  return `${response.status} ${errors.map(({ extensions }: any) => extensions.code).join()}`;
}

const nested = (depth: number) =>
  '{ users { nodes { posts { nodes { author {'.padEnd(40, ' ') +
  ' posts { nodes { author {'.repeat(depth) +
  ' id ' +
  '} } }'.repeat(depth) +
  '} } } } } }';
const doubling = (levels: number) =>
  `{ ...F0 } ${Array.from({ length: levels }, (_, n) => `fragment F${n} on Query { ...F${n + 1} ...F${n + 1} }`).join(' ')}
   fragment F${levels} on Query { a: __typename }`;

const tooComplex: [string, Partial<Config>, string][] = [
  ['deep', {}, nested(4)],
  ['of many aliases', {}, `{ ${Array.from({ length: 101 }, (_, n) => `a${n}: __typename`).join(' ')} }`],
  ['of aliases in fragments that double', {}, doubling(100)],
  ['of many tokens', {}, `{ ${'__typename '.repeat(2001)} }`],
  [
    'of pages in pages in pages',
    {},
    '{ users(first: 100) { nodes { posts(first: 100) { nodes { author { posts(first: 100) { totalCount } } } } } } }',
  ],
  ['of selections in fragments that double', { QUERY_SELECTIONS_MAX: 100 }, doubling(8).replace('a: ', '')],
  ['of a long text', { QUERY_CHARACTERS_MAX: 1000 }, `{ __typename ${','.repeat(1000)} }`],
  ['of one page too many', { QUERY_COST_MAX: 100 }, '{ users(first: 100) { edges { node { id } } } }'],
];

describe('QUERY_TOO_COMPLEX for what is', () => {
  for (const [name, overrides, query] of tooComplex) {
    test(name, async () => {
      await using(overrides, async (server) => {
        const started = performance.now();
        const { status, errors } = await server.query(query);
        expect([status, ...errors.map(({ extensions }) => extensions.code)]).toEqual([400, 'QUERY_TOO_COMPLEX']);
        expect(await overSocket(server, query)).toEqual(['QUERY_TOO_COMPLEX']);
        if (query.length < 5000) expect(await get(server, query)).toBe('400 QUERY_TOO_COMPLEX');
        // What doubles would take for ever.
        expect(performance.now() - started).toBeLessThan(20_000);
      });
    });
  }

  test('a page counts the same by literal, by variable and by default: HTTP, websocket, subscription', async () => {
    await using({ QUERY_COST_MAX: 50_000 }, async (server) => {
      const pages = (n: string) =>
        `users(first: ${n}) { nodes { posts(first: ${n}) { nodes { author { posts(first: ${n}) { nodes { id } } } } } } }`;
      const sent: [head: string, size: string, variables: object][] = [
        ['', '100', {}],
        ['($n: Int)', '$n', { n: 100 }],
        ['($n: Int = 100)', '$n', {}],
        ['($n: Int! = 100)', '$n', {}],
        ['($n: Int = 1)', '$n', { n: 100 }],
      ];
      for (const [head, size, variables] of sent) {
        const found = await server.query(`query ${head} { ${pages(size)} }`, variables);
        expect(found.errors.map(({ extensions }) => extensions.code)).toEqual(['QUERY_TOO_COMPLEX']);
        expect(found.errors[0]!.message).toContain('may read 1030201 rows');
        expect(await overSocket(server, `query ${head} { ${pages(size)} }`, undefined, variables)).toEqual([
          'QUERY_TOO_COMPLEX',
        ]);
        const events = `subscription ${head} { userChanged { user { posts(first: ${size}) { nodes { author { posts(first: ${size}) { nodes { author { posts(first: ${size}) { nodes { id } } } } } } } } } }`;
        expect(await overSocket(server, `${events} }`, undefined, variables)).toEqual(['QUERY_TOO_COMPLEX']);
      }
    });
  });

  test('of an answer that is too long, however few rows it reads', async () => {
    await using({ ANSWER_CHARACTERS_MAX: 1_000_000 }, async (server) => {
      const { primary, replicas } = databases;
      await primary`
        with author as (insert into users (username, email, password_hash) values ('long', 'long@example.com', '-') returning id)
        insert into posts (author_id, title, body) select id, 'long', repeat('y', 20000) from author`;
      const isThere = () => replicas[0]!`select from posts where title = 'long'`.then(({ length }) => length);
      await expect.poll(isThere, { timeout: 20_000 }).toBe(1);
      const bodies = (count: number) =>
        `{ posts { nodes { ${Array.from({ length: count }, (_, n) => `b${n}: body`).join(' ')} } } }`;
      const { status, errors, data } = await server.query(bodies(51));
      expect([status, data, errors.map(({ extensions }) => extensions.code)]).toEqual([
        400,
        undefined,
        ['QUERY_TOO_COMPLEX'],
      ]);
      expect(await overSocket(server, bodies(51))).toEqual(['QUERY_TOO_COMPLEX']);
      expect(await get(server, bodies(51))).toBe('400 QUERY_TOO_COMPLEX');
      expect((await server.query(bodies(49))).errors).toEqual([]);
      await primary`delete from users where username = 'long'`;
    });
  });

  test('of an event, which then comes without its rows, and the next one as ever', async () => {
    await using({ ANSWER_CHARACTERS_MAX: 10_000 }, async (server) => {
      const { primary } = databases;
      const client = server.websocket();
      const follow = (after: string | null) =>
        client.iterate<any>({
          query: `subscription ($after: Cursor) { changes(tables: ["posts"], after: $after) { __typename
            ... on CaughtUp { cursor } ... on PostChange { cursor operation fields: changedFields post { title body } was: before { id } } } }`,
          variables: { after },
        });
      const events = follow(null);
      await events.next(); // CaughtUp
      await primary`
        with author as (insert into users (username, email, password_hash) values ('long', 'long@example.com', '-') returning id)
        insert into posts (author_id, title, body) select id, 'long', repeat('y', 12000) from author`;
      await primary`update posts set body = 'short' where title = 'long'`;
      const { value: long } = await events.next();
      expect(long).toEqual({
        data: { changes: expect.objectContaining({ operation: 'INSERT', post: null, was: null }) },
        errors: [
          {
            message: expect.stringContaining('an event of more than 10000 characters'),
            path: ['changes', 'post'],
            extensions: { code: 'QUERY_TOO_COMPLEX' },
          },
        ],
      });
      const short = { operation: 'UPDATE', fields: ['body', 'updatedAt'], post: { title: 'long', body: 'short' } };
      expect((await events.next()).value).toEqual({ data: { changes: expect.objectContaining(short) } });
      const again = follow(long!.data.changes.cursor);
      expect((await again.next()).value).toEqual({ data: { changes: expect.objectContaining(short) } });
      await client.dispose();
      await primary`delete from users where username = 'long'`;
    });
  });

  test('a subscription, and a list of REST', async () => {
    await using({ QUERY_COST_MAX: 15, QUERY_DEPTH_MAX: 5 }, async (server) => {
      expect(await overSocket(server, 'subscription { userChanged { user { posts { totalCount } } } }')).toEqual([
        'QUERY_TOO_COMPLEX',
      ]);
      expect(await server.rest('GET', '/api/users?limit=20')).toMatchObject({
        status: 400,
        body: { error: 'QUERY_TOO_COMPLEX' },
      });
      expect((await server.rest('GET', '/api/users?limit=10')).status).toBe(200);
    });
  });

  test('what fields that repeat cost to validate is bounded by the tokens', async () => {
    await using({}, async (server) => {
      const started = performance.now();
      await server.query(`{ users { nodes { ${'id '.repeat(1980)} } } }`);
      expect(performance.now() - started).toBeLessThan(2000);
    });
  });
});

test('who is not signed in may send smaller documents: HTTP, GET and websocket', async () => {
  const server = await startProtected({}, databases);
  try {
    const { headers, token } = await person(server);
    const fields = (count: number) => `{ ${'__typename '.repeat(count)} }`;
    const refused = await server.query(fields(1001));
    expect(refused.errors[0]!.message).toBe(
      'The operation has 1003 tokens, and 1000 are the most before one signs in: ask for less at a time.',
    );
    const inner = '...F '.repeat(300);
    const repeated = `{ ${inner} } fragment F on Query { a: __typename b: __typename c: __typename }`;
    for (const query of [repeated, `{ __typename ${' '.repeat(20_000)} }`]) {
      expect((await server.query(query)).errors.map(({ extensions }) => extensions.code)).toEqual([
        'QUERY_TOO_COMPLEX',
      ]);
      expect(await overSocket(server, query)).toEqual(['QUERY_TOO_COMPLEX']);
    }
    expect(await get(server, repeated)).toBe('400 QUERY_TOO_COMPLEX');
    expect((await server.query(fields(1001), {}, headers)).errors).toEqual([]);
    const client = server.websocket(token);
    expect(await subscribeTo<object>(client, fields(1001)).next()).toEqual({ __typename: 'Query' });
  } finally {
    await server.stop();
  }
});

test('the defaults let the schema be introspected, and every page of two levels be read', async () => {
  await using({}, async (server) => {
    const introspection = getIntrospectionQuery({ descriptions: true, inputValueDeprecation: true, oneOf: true });
    expect((await server.query(introspection)).errors).toEqual([]);
    const largest =
      '{ users(first: 100) { nodes { posts(first: 100) { totalCount nodes { author { username } } } } } }';
    expect((await server.query(largest)).errors).toEqual([]);
    expect((await server.query(print(UsersDocument))).errors).toEqual([]);
  });
});

test('a body too large is refused: HTTP, REST and websocket', async () => {
  await using({ BODY_LIMIT_BYTES: 2048 }, async (server) => {
    const text = 'x'.repeat(3000);
    for (const path of ['/graphql', '/api/users']) {
      const response = await fetch(`${server.url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query: text }),
      });
      expect(response.status).toBe(413);
    }
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
    socket.on('error', () => {});
    socket.on('open', () => socket.send(text));
    expect(await new Promise((resolve) => socket.on('close', resolve))).toBeGreaterThan(1000);
  });
});

test('a batch is refused', async () => {
  await using({}, async (server) => {
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify([{ query: '{ __typename }' }, { query: '{ __typename }' }]),
    });
    expect(response.status).toBe(400);
  });
});

describe('RATE_LIMITED', () => {
  test('requests of one address, and then of one user, whichever way they come', async () => {
    await using({ REQUESTS_PER_SECOND_MAX: 5 }, async (server) => {
      const ask: (() => Promise<boolean>)[] = [
        async () => (await server.query('{ __typename }')).status === 429,
        async () => (await server.rest('GET', '/api/users?limit=1')).status === 429,
        async () => (await overSocket(server, '{ __typename }')).includes('RATE_LIMITED'),
        async () => (await overSocket(server, 'subscription { userChanged { key } }')).includes('RATE_LIMITED'),
      ];
      const fill = () => Promise.all(Array.from({ length: 5 }, () => server.query('{ __typename }')));
      // They count again each second.
      for (const one of ask) await expect.poll(async () => (await fill(), one())).toBe(true);
      await expect.poll(async () => (await server.query('{ __typename }')).status, { timeout: 5000 }).toBe(200);
    });
  });

  test('users are counted apart', async () => {
    const server = await startProtected({ REQUESTS_PER_SECOND_MAX: 5 }, databases);
    try {
      const [one, other] = [await person(server), await person(server)];
      const ask = async ({ headers }: typeof one) => (await server.query('{ me { id } }', {}, headers)).status;
      const statuses = await Promise.all(Array.from({ length: 8 }, () => ask(one)));
      expect(statuses.filter((status) => status === 429)).toHaveLength(3);
      expect(await ask(other)).toBe(200);
    } finally {
      await server.stop();
    }
  });

  test('operations on one socket', async () => {
    await using({ WS_OPERATIONS_MAX: 2 }, async (server) => {
      const client = server.websocket();
      const open = [subscribeTo(client, ChangesDocument), subscribeTo(client, ChangesDocument)];
      for (const events of open) await events.next();
      expect(await subscribeTo(client, ChangesDocument).failure()).toMatchObject([
        { extensions: { code: 'RATE_LIMITED' } },
      ]);
      await open[0]!.end();
      await expect
        .poll(() =>
          subscribeTo<any>(client, '{ __typename }')
            .next()
            .catch(() => null),
        )
        .toEqual({ __typename: 'Query' });
    });
  });

  test('subscriptions of one address, over all its sockets', async () => {
    await using({ SUBSCRIPTIONS_PER_ADDRESS_MAX: 2 }, async (server) => {
      const open = [1, 2].map(() => subscribeTo(server.websocket(), ChangesDocument));
      for (const events of open) await events.next();
      expect(await overSocket(server, 'subscription { userChanged { key } }')).toEqual(['RATE_LIMITED']);
      await open[0]!.end();
      const again = subscribeTo(server.websocket(), ChangesDocument);
      await expect.poll(() => again.next().then(() => true)).toBe(true);
    });
  });

  test('subscriptions of one user', async () => {
    const server = await startProtected({ SUBSCRIPTIONS_PER_USER_MAX: 1 }, databases);
    try {
      const [one, other] = [await person(server), await person(server)];
      await subscribeTo(server.websocket(one.token), ChangesDocument).next();
      const refused = await subscribeTo(server.websocket(one.token), ChangesDocument).failure();
      expect(refused).toMatchObject([{ extensions: { code: 'RATE_LIMITED' } }]);
      await subscribeTo(server.websocket(other.token), ChangesDocument).next();
    } finally {
      await server.stop();
    }
  });

  test('sockets of one address', async () => {
    await using({ SOCKETS_PER_ADDRESS_MAX: 2, TRUST_PROXY: ['127.0.0.0/8'] }, async (server) => {
      const open = (from: string) =>
        new Promise<string>((resolve) => {
          const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', {
            headers: { 'x-forwarded-for': from },
          });
          socket.on('open', () => resolve('open'));
          socket.on('error', ({ message }) => resolve(message));
        });
      expect([await open('192.0.2.1'), await open('192.0.2.1')]).toEqual(['open', 'open']);
      expect(await open('192.0.2.1')).toContain('429');
      expect(await open('192.0.2.2')).toBe('open');
    });
  });

  test('who is no trusted proxy is not believed about addresses', async () => {
    await using({ REQUESTS_PER_SECOND_MAX: 1 }, async (server) => {
      const statuses = await Promise.all(
        [1, 2, 3].map(
          async (n) => (await server.query('{ __typename }', {}, { 'x-forwarded-for': `192.0.2.${n}` })).status,
        ),
      );
      expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 429, 429]);
    });
  });
});

describe('TIMEOUT: what takes too long, or nobody waits for, is cancelled in PostgreSQL', () => {
  const locked = async (work: () => Promise<unknown>) => {
    const [replica] = databases.replicas;
    await replica!.begin(async (sql) => {
      await sql`lock table users in access exclusive mode`;
      await work();
    });
  };
  /** Statements of requests that run on the replica now. */
  const running = async () => {
    const rows = await databases.replicas[0]!`
      select pid from pg_stat_activity where datname = current_database() and application_name like 'readback reads%' and state = 'active'`;
    return rows.length;
  };

  test('over HTTP, REST and websocket', async () => {
    await using({ OPERATION_TIMEOUT_MS: 300 }, async (server) => {
      await locked(async () => {
        const query = '{ users { totalCount } }';
        const started = performance.now();
        const [http, rest, socket] = await Promise.all([
          server.query(query),
          server.rest('GET', '/api/users'),
          overSocket(server, query),
        ]);
        expect(performance.now() - started).toBeLessThan(2000);
        expect(http.errors.map(({ extensions }) => extensions.code)).toEqual(['TIMEOUT']);
        expect(rest).toMatchObject({ status: 504, body: { error: 'TIMEOUT' } });
        expect(socket).toEqual(['TIMEOUT']);
        await expect.poll(running, { timeout: 3000 }).toBe(0);
      });
      expect((await server.query('{ users { totalCount } }')).errors).toEqual([]);
    });
  });

  test('who hangs up', async () => {
    await using({}, async (server) => {
      const id = crypto.randomUUID();
      const controller = new AbortController();
      await locked(async () => {
        const body = JSON.stringify({ query: `{ user(id: "${id}") { id } }` });
        const ask = (signal?: AbortSignal) =>
          fetch(`${server.url}/graphql`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body,
            ...(signal && { signal }),
          });
        const left = ask(controller.signal).catch(() => 'gone');
        await expect.poll(running).toBe(1);
        controller.abort();
        expect(await left).toBe('gone');
        await expect.poll(running, { timeout: 3000 }).toBe(0);
      });
    });
  });

  test('a socket that closes takes its queries along', async () => {
    await using({}, async (server) => {
      await locked(async () => {
        const client = server.websocket();
        void client
          .iterate({ query: '{ users { totalCount } }' })
          .next()
          .catch(() => {});
        await expect.poll(running).toBe(1);
        client.terminate();
        await expect.poll(running, { timeout: 3000 }).toBe(0);
      });
    });
  });
});

describe('trusted documents', () => {
  const dir = mkdtempSync(join(tmpdir(), 'readback-trusted-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const known = 'query Known { users { totalCount } }';
  const events = 'subscription Events { userChanged { key } }';
  const hash = createHash('sha256').update(known).digest('hex');
  const file = join(dir, 'documents.json');
  writeFileSync(file, JSON.stringify({ [hash]: known, 'another-hash': events }));

  test('they alone run, by text or hash; REST goes on', async () => {
    await using({ TRUSTED_DOCUMENTS: file }, async (server) => {
      const post = async (body: object) => {
        const response = await fetch(`${server.url}/graphql`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        });
        const { errors = [] } = (await response.json()) as any;
        return `${response.status} ${errors.map(({ extensions }: any) => extensions.code).join()}`;
      };
      const extensions = { persistedQuery: { version: 1, sha256Hash: hash } };
      const other = {
        persistedQuery: { version: 1, sha256Hash: createHash('sha256').update('{ __typename }').digest('hex') },
      };
      expect(await post({ query: known })).toBe('200 ');
      expect(await post({ extensions })).toBe('200 ');
      expect(await post({ query: '{ __typename }' })).toBe('403 FORBIDDEN');
      expect(await post({ query: '{ __typename }', extensions: other })).toBe('403 FORBIDDEN');
      expect(await post({ extensions: other })).toMatch(/PERSISTED_QUERY_NOT_FOUND$/);
      expect(await get(server, '{ __typename }')).toBe('403 FORBIDDEN');
      expect(await overSocket(server, known)).toEqual([]);
      expect(await overSocket(server, '', extensions)).toEqual([]);
      expect(await overSocket(server, '{ __typename }')).toEqual(['FORBIDDEN']);
      expect(await overSocket(server, 'subscription { userChanged { key } }')).toEqual(['FORBIDDEN']);
      expect((await server.rest('GET', '/api/users')).status).toBe(200);
    });
  });

  test('a file that is none is said at start', async () => {
    await expect(startServer({ TRUSTED_DOCUMENTS: join(dir, 'none.json') }, databases)).rejects.toThrow(
      /^TRUSTED_DOCUMENTS cannot be used: .*none\.json/,
    );
  });
});

test('in protected mode the schema is not told, unless the operator says so', async () => {
  for (const [INTROSPECTION, expected] of [
    ['off', 'GRAPHQL_VALIDATION_FAILED'],
    ['on', undefined],
  ] as const) {
    const server = await startServer({ ACCESS: 'protected', INTROSPECTION }, databases);
    const { errors } = await server.query('{ __schema { queryType { name } } }');
    expect(errors[0]?.extensions.code).toBe(expected);
    const hint = await server.query('{ userz { id } }');
    expect(hint.errors[0]!.message.includes('Did you mean')).toBe(INTROSPECTION === 'on');
    const page = await fetch(`${server.url}/graphql`, { headers: { accept: 'text/html' } });
    expect((await page.text()).includes('sandbox')).toBe(INTROSPECTION === 'on');
    await server.stop();
  }
});

test('administrators are told the schema all the same, and nobody whom their question was read for', async () => {
  const server = await startProtected({ INTROSPECTION: 'off' }, databases);
  const [root, one] = [await person(server, true), await person(server)];
  const asked = (headers = {}) => server.query<any, object>('{ __schema { queryType { name } } }', {}, headers);
  for (let round = 0; round < 2; round++) {
    expect((await asked(root.headers)).data).toEqual({ __schema: { queryType: { name: 'Query' } } });
    for (const headers of [one.headers, {}])
      expect((await asked(headers)).errors[0]?.extensions.code).toBe('GRAPHQL_VALIDATION_FAILED');
  }
  await server.stop();
});
