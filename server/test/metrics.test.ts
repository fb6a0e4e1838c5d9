import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UserDocument } from '../../schema/generated/operations.ts';
import { projectRoot } from '../lib/root.ts';
import { holdApply } from './support/faults.ts';
import { startProtected } from './support/people.ts';
import { startServer, type TestServer } from './support/server.ts';
import { subscribeTo } from './support/subscribe.ts';

let server: TestServer;
let ids: string[];
beforeAll(async () => {
  server = await startServer({ BOOKMARK_WAIT_MS: 200 });
  const rows = await server.databases.primary`
    insert into users (username, email, password_hash) select 'u' || n, n || '@example.com', '-' from generate_series(1, 8) n returning id`;
  ids = rows.map((row) => row['id']);
  await server.query('{ users(first: 1) { totalCount } }', {}, { 'readback-consistency': 'strong' });
});
afterAll(() => server.stop());

const scrape = async ({ url }: { url: string } = server) => {
  const response = await fetch(`${url}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  return response.text();
};

/** A sample's value; undefined where there is none. */
const sample = (text: string, series: string) => {
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
};

const requests = (operation: string, kind: string, outcome: string) =>
  `readback_requests_total{operation="${operation}",kind="${kind}",outcome="${outcome}"}`;

describe('an operation is counted by its name, kind and outcome:', () => {
  const by: [string, () => Promise<unknown>][] = [
    [requests('Named', 'query', 'ok'), () => server.query('query Named { users(first: 1) { totalCount } }')],
    [requests('anonymous', 'query', 'ok'), () => server.query('{ __typename }')],
    [
      requests('Refused', 'mutation', 'NOT_FOUND'),
      () => server.query(`mutation Refused { deleteUser(id: "${crypto.randomUUID()}") { bookmark } }`),
    ],
    [requests('unknown', 'unknown', 'GRAPHQL_VALIDATION_FAILED'), () => server.query('query Wrong { nothing }')],
    [requests('unknown', 'unknown', 'GRAPHQL_PARSE_FAILED'), () => server.query('{ ')],
    [
      requests('unknown', 'unknown', 'BAD_BOOKMARK'),
      () => server.query('query Marked { __typename }', {}, { 'readback-bookmark': 'none' }),
    ],
    [requests('unknown', 'unknown', 'BAD_REQUEST'), () => server.rest('POST', '/graphql', {})],
    [requests('UserList', 'rest', 'ok'), () => server.rest('GET', '/api/users')],
    [
      requests('Sent', 'query', 'ok'),
      () => server.websocket().iterate({ query: 'query Sent { __typename }' }).next() as Promise<unknown>,
    ],
    [
      requests('Followed', 'subscription', 'ok'),
      async () => {
        const { next, end } = subscribeTo<{ changes: object }>(
          server.websocket(),
          'subscription Followed { changes(snapshot: true) { ... on CaughtUp { at } } }',
        );
        await next();
        await end();
      },
    ],
    [
      requests('Behind', 'subscription', 'BAD_CURSOR'),
      () => subscribeTo(server.websocket(), 'subscription Behind { userChanged(after: "x") { cursor } }').failure(),
    ],
  ];
  for (const [series, run] of by) {
    test(series, async () => {
      const before = sample(await scrape(), series) ?? 0;
      await run();
      await expect.poll(async () => sample(await scrape(), series)).toBe(before + 1);
    });
  }
});

test('a name that is none for a series is other', async () => {
  await server.query(`query ${'N'.repeat(101)} { __typename }`);
  expect(sample(await scrape(), requests('other', 'query', 'ok'))).toBe(1);
});

test('keys that were read together, and where', async () => {
  const before = await scrape();
  const fields = ids.map((id, index) => `u${index}: user(id: "${id}") { id }`).join('\n');
  await server.query(`{ ${fields} }`);
  const after = await scrape();
  const grew = (series: string) => sample(after, series)! - (sample(before, series) ?? 0);
  expect(grew('readback_loader_batch_keys_sum{loader="users by id"}')).toBe(ids.length);
  expect(grew('readback_loader_batch_keys_count{loader="users by id"}')).toBe(1);
  expect(grew('readback_reads_total{source="replica-1"}')).toBe(1);
  expect(grew('readback_statement_duration_seconds_count{pool="reads of replica-1"}')).toBe(1);
  expect(grew('readback_pool_wait_seconds_count{pool="reads of replica-1"}')).toBe(1);
});

test('waits for a replica, and reads that fell back; nothing stays in use', async () => {
  const fallbacks = 'readback_read_fallbacks_total{reason="no replica was there in time"}';
  const before = sample(await scrape(), fallbacks) ?? 0;
  const release = await holdApply(server.databases.replicas[0]!);
  const input = { username: 'late', email: 'late@example.com', password: 'correct horse' };
  const { body, headers } = await server.rest('POST', '/api/users', input);
  const read = await server.query(
    UserDocument,
    { id: body.data.id },
    { 'readback-bookmark': headers.get('readback-bookmark')! },
  );
  expect(read.readback.source).toBe('primary');
  // A heartbeat that the wait has sent may be under way.
  await expect.poll(async () => sample(await scrape(), 'readback_pool_connections_in_use{pool="writes"}')).toBe(0);
  const text = await scrape();
  await release();
  expect(sample(text, fallbacks)).toBe(before + 1);
  expect(sample(text, 'readback_bookmark_wait_seconds_count')).toBeGreaterThanOrEqual(1);
  expect(sample(text, 'readback_bookmark_wait_seconds_sum')).toBeGreaterThan(0.15);
  expect(sample(text, 'readback_pool_waiting{pool="writes"}')).toBe(0);
  expect(sample(text, 'readback_pool_connections{pool="writes"}')).toBe(10);
});

test('a pool with too few connections for what is asked says so', async () => {
  const small = await startServer({ REPLICA_POOL_SIZE: 1 }, server.databases);
  const [replica] = small.databases.replicas;
  let unlock = (): void => {};
  const locked = Promise.withResolvers<void>();
  const lock = replica!.begin(async (sql) => {
    await sql`lock table users in access exclusive mode`;
    locked.resolve();
    await new Promise<void>((resolve) => void (unlock = resolve));
  });
  await locked.promise;
  const reads = ids
    .slice(0, 3)
    .map((id) => small.query(`{ users(first: 1, filter: { search: "${id}" }) { totalCount } }`));
  const pool = '{pool="reads of replica-1"}';
  await expect
    .poll(async () => sample(await scrape(small), `readback_pool_waiting${pool}`), { timeout: 10_000 })
    .toBe(2);
  expect(sample(await scrape(small), `readback_pool_connections_in_use${pool}`)).toBe(1);
  unlock();
  await lock;
  for (const { errors } of await Promise.all(reads)) expect(errors).toEqual([]);
  const text = await scrape(small);
  expect(sample(text, `readback_pool_waiting${pool}`)).toBe(0);
  expect(sample(text, `readback_pool_connections_in_use${pool}`)).toBe(0);
  await small.stop();
});

test('what knows its own numbers is asked for them', async () => {
  const events = subscribeTo(server.websocket(), 'subscription { userChanged { cursor } }');
  const following = events.next().catch(() => undefined);
  await expect.poll(() => server.subscribers()).toBe(1);
  const text = await scrape();
  await events.end();
  await following;
  expect(sample(text, 'readback_subscribers')).toBe(1);
  expect(sample(text, 'readback_subscription_groups')).toBe(1);
  expect(sample(text, 'readback_primary_reachable')).toBe(1);
  expect(sample(text, 'readback_replica_state{replica="replica-1",state="streaming"}')).toBe(1);
  expect(sample(text, 'readback_replica_state{replica="replica-1",state="down"}')).toBe(0);
  expect(sample(text, 'readback_replica_lag_bytes{replica="replica-1"}')).toBeGreaterThanOrEqual(0);
  expect(sample(text, 'readback_feed_state{state="live"}')).toBe(1);
  expect(sample(text, 'readback_feed_position_bytes')).toBeGreaterThan(0);
  const [, slot] = /^readback_slot_held_bytes\{slot="(readback_[^"]+)"\} \d+$/m.exec(text)!;
  expect(sample(text, `readback_slot_active{slot="${slot}"}`)).toBe(1);
  expect(sample(text, `readback_slot_wal_state{slot="${slot}",state="reserved"}`)).toBe(1);
});

describe('who may read the metrics', () => {
  test('protected: nobody on the main port, with a token or without', async () => {
    const closed = await startProtected({}, server.databases);
    const strangers: Record<string, string>[] = [{}, { authorization: 'Bearer x' }, { 'x-forwarded-for': '127.0.0.1' }];
    for (const headers of strangers) {
      const { status, body } = await closed.rest('GET', '/metrics', undefined, headers);
      expect(status).toBe(404);
      expect(JSON.stringify(body)).not.toContain('readback_');
    }
    expect(closed.metricsPort).toBeUndefined();
    await closed.stop();
  });

  test('METRICS_PORT: whoever reaches that listener, which has only /health besides', async () => {
    const apart = await startProtected({ METRICS_PORT: 0 }, server.databases);
    const url = `http://127.0.0.1:${apart.metricsPort}`;
    expect(sample(await scrape({ url }), 'readback_primary_reachable')).toBe(1);
    expect(await (await fetch(`${url}/health`)).json()).toHaveProperty('replicas');
    for (const path of ['/', '/graphql', '/api/users']) expect((await fetch(`${url}${path}`)).status).toBe(404);
    expect((await apart.rest('GET', '/metrics')).status).toBe(404);
    await apart.stop();
    await expect(fetch(`${url}/metrics`)).rejects.toThrow('fetch failed');
  });

  test('METRICS_PORT in open mode: there, and not on the main port', async () => {
    const apart = await startServer({ METRICS_PORT: 0 }, server.databases);
    await scrape({ url: `http://127.0.0.1:${apart.metricsPort}` });
    expect((await apart.rest('GET', '/metrics')).status).toBe(404);
    await apart.stop();
  });
});

describe('what is written about metrics is true:', () => {
  const read = (file: string) => readFileSync(join(projectRoot, file), 'utf8');
  const families = async () =>
    [...(await scrape()).matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => ({ name: name!, type: type! }));
  const named = (text: string) =>
    new Set([...text.matchAll(/\b(?:readback|nodejs|process)_[a-z0-9_]+/g)].map(([name]) => name));
  const isIn = (all: { name: string; type: string }[]) => (name: string) =>
    all.some(
      (one) => one.name === name || (one.type === 'histogram' && name.replace(/_(bucket|sum|count)$/, '') === one.name),
    );

  test('the page has each metric of ours, and no other', async () => {
    const rows = [...read('docs/observability.md').matchAll(/^\| `(readback_\w+)(?:\{([^}]*)\})?` /gm)];
    const ours = (await families()).filter(({ name }) => name.startsWith('readback_'));
    expect(rows.map(([, name]) => name!).toSorted()).toEqual(ours.map(({ name }) => name).toSorted());
    const text = await scrape();
    for (const [, name, labels = ''] of rows) {
      const [, found = ''] = new RegExp(`^${name}(?:_bucket)?\\{([^}]*)\\}`, 'm').exec(text) ?? [];
      if (found === '' && labels !== '' && /limit_bytes/.test(name!)) continue; // no limit is set here
      const known = [...found.matchAll(/(\w+)="/g)].map(([, label]) => label!).filter((label) => label !== 'le');
      expect([name, known.toSorted().join()]).toEqual([name, labels.split(', ').filter(Boolean).toSorted().join()]);
    }
  });

  for (const file of ['infra/observe/dashboard.json', 'infra/observe/alerts.yml', 'docs/observability.md'])
    test(`${file} names none that is not there`, async () => {
      const all = await families();
      const names = [...named(read(file))];
      expect(names.length).toBeGreaterThan(10);
      expect(names.filter((name) => !isIn(all)(name))).toEqual([]);
    });

  test('each alert says how bad it is, for how long, and what to do, on a heading of the page', () => {
    const page = read('docs/observability.md');
    const alerts = read('infra/observe/alerts.yml')
      .split(/^ {6}- alert: /m)
      .slice(1);
    expect(alerts.length).toBeGreaterThan(10);
    for (const alert of alerts) {
      const name = alert.split('\n')[0]!;
      expect(alert).toMatch(/^ {8}for: \d+[ms]$/m);
      expect(alert).toMatch(/^ {10}severity: (page|ticket)$/m);
      expect(alert).toMatch(/^ {10}summary: \S.*$/m);
      expect(alert).toMatch(/^ {10}description: \S/m);
      expect(alert).toContain(`runbook: docs/observability.md#${name.toLowerCase()}`);
      expect(page).toContain(`\n### ${name}\n`);
    }
    const headings = [...page.matchAll(/^### (Readback\w+)$/gm)].map(([, name]) => name!);
    expect(headings.toSorted()).toEqual(alerts.map((alert) => alert.split('\n')[0]!).toSorted());
  });

  test('the dashboard has a row for each part, and every panel a unit, a query and a description', () => {
    const { panels, uid } = JSON.parse(read('infra/observe/dashboard.json'));
    expect(uid).toBe('readback');
    const rows = panels
      .filter(({ type }: { type: string }) => type === 'row')
      .map(({ title }: { title: string }) => title);
    expect(rows).toEqual(['Requests', 'Reads', 'Replication', 'Change feed', 'Process']);
    for (const panel of panels.filter(({ type }: { type: string }) => type !== 'row')) {
      expect(panel.targets.length).toBeGreaterThan(0);
      expect(panel.fieldConfig.defaults.unit).toEqual(expect.any(String));
      expect(panel.description.length).toBeGreaterThan(20);
    }
  });
});
