import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildChanged } from '../../infra/launch/prepare.mjs';
import { holdApply } from './support/faults.ts';
import { freshDatabases, type TestDatabases } from './support/databases.ts';
import { ownProcess } from './support/own-process.ts';
import { startServer } from './support/server.ts';

interface Span {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  status: { code?: number };
  links?: { traceId: string; spanId: string }[];
  events?: { name: string }[];
  attributes: Record<string, unknown>;
}

interface Sent {
  resourceSpans: {
    resource: { attributes: Attribute[] };
    scopeSpans: { spans: (Omit<Span, 'attributes'> & { attributes: Attribute[] })[] }[];
  }[];
}

interface Attribute {
  key: string;
  value: { stringValue?: string; intValue?: number; doubleValue?: number };
}

/** An endpoint that takes OTLP as JSON, as a collector does. */
async function startCollector() {
  const bodies: Sent[] = [];
  const server = createServer((request, response) => {
    void json(request).then((body) => {
      if (request.url === '/v1/traces' && request.method === 'POST') bodies.push(body as Sent);
      response.setHeader('content-type', 'application/json').end('{}');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bodies,
    stop: () => server.close(),
  };
}

const plain = (attributes: Attribute[]) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));

const spansOf = (bodies: Sent[]): Span[] =>
  bodies
    .flatMap(({ resourceSpans }) => resourceSpans.flatMap(({ scopeSpans }) => scopeSpans))
    .flatMap(({ spans }) => spans.map((span) => ({ ...span, attributes: plain(span.attributes) })));

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';
const MARK = 'zq7marked';

let databases: TestDatabases;
let collector: Awaited<ReturnType<typeof startCollector>>;
let spans: Span[];

beforeAll(async () => {
  expect(await buildChanged()).toBe(0);
  databases = await freshDatabases();
  collector = await startCollector();
  const server = await startServer(
    { OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/`, BOOKMARK_WAIT_MS: 200 },
    databases,
  );
  const traceparent = `00-${TRACE}-${PARENT}-01`;
  const input = { username: MARK, email: `${MARK}@example.com`, password: `${MARK}-password` };
  const create =
    'mutation Create($input: CreateUserInput!, $c: Confirm!) { createUser(input: $input, confirm: $c) { user { id } bookmark } }';
  const { data } = await server.query<{ createUser: { user: { id: string } } }, object>(
    create,
    { input, c: 'REPLICATED' },
    { traceparent },
  );
  const { id } = data.createUser.user;
  await server.query(`query ById { a: user(id: "${id}") { username } }`, {}, { traceparent });
  await Promise.all(Array.from({ length: 8 }, () => server.query(`query Together { user(id: "${id}") { username } }`)));
  await server.query(`query Broken { user(id: "${MARK}") { id } }`);
  await server.rest('GET', `/api/users/${id}`, undefined, { traceparent });
  const socket = server.websocket().iterate({
    query: `query OnSocket { user(id: "${id}") { username } }`,
    extensions: { traceparent },
  });
  await socket.next();

  const release = await holdApply(databases.replicas[0]!);
  const late = await server.query<{ createUser: { bookmark: string } }, object>(create, {
    input: { ...input, username: `${MARK}2`, email: `${MARK}2@example.com` },
    c: 'COMMITTED',
  });
  const waited = await server.query(
    'query Waited { users(first: 1) { totalCount } }',
    {},
    { 'readback-bookmark': late.data.createUser.bookmark },
  );
  expect(waited.readback.source).toBe('primary');
  await release();
  await server.stop();
  spans = spansOf(collector.bodies);
});
afterAll(async () => {
  collector.stop();
  await databases.drop();
});

const named = (name: string) => {
  const found = spans.filter((span) => span.name === name);
  expect(found.map(({ name: its }) => its)).not.toEqual([]);
  return found;
};
const under = (parent: Span) => spans.filter(({ parentSpanId }) => parentSpanId === parent.spanId);

test('a read is an operation, its batches and their statements, in the trace of the client', () => {
  const [operation] = named('query ById');
  expect(operation).toMatchObject({
    traceId: TRACE,
    parentSpanId: PARENT,
    attributes: {
      'graphql.operation.name': 'ById',
      'graphql.operation.type': 'query',
      'readback.via': 'http',
      'readback.source': 'replica-1',
      'readback.request_id': expect.stringMatching(/^[\da-f-]{36}$/),
    },
  });
  const [batch] = under(operation!);
  expect(batch).toMatchObject({
    name: 'load users by id',
    traceId: TRACE,
    attributes: { 'readback.loader': 'users by id', 'readback.keys': 1 },
  });
  const [statement] = under(batch!);
  expect(statement).toMatchObject({
    name: 'select',
    traceId: TRACE,
    attributes: { 'db.system.name': 'postgresql', 'readback.pool': 'reads of replica-1' },
    events: [{ name: 'has a connection' }],
  });
});

test('a write has its statements on the primary', () => {
  const [operation] = named('mutation Create');
  const statements = under(operation!).filter(({ attributes }) => attributes['readback.pool'] === 'writes');
  const [written, ...others] = statements.map(({ name }) => name);
  expect([written, others[0]]).toEqual(['insert', 'select']);
  expect(others.slice(1).filter((name) => name !== 'update')).toEqual([]); // heartbeats help a wait along
});

test('a batch that several operations share is under one, and linked to the others', () => {
  const operations = named('query Together');
  const batches = spans.filter(
    ({ name, parentSpanId }) => name === 'load users by id' && operations.some(({ spanId }) => spanId === parentSpanId),
  );
  const served = batches.flatMap(({ parentSpanId, links = [] }) => [
    parentSpanId!,
    ...links.map(({ spanId }) => spanId),
  ]);
  expect(served.toSorted()).toEqual(operations.map(({ spanId }) => spanId).toSorted());
});

test('a wait for a bookmark is a span as long as the wait', () => {
  const [operation] = named('query Waited');
  const [wait] = under(operation!).filter(({ name }) => name === 'wait for bookmark');
  expect(wait!.attributes).toEqual({
    'readback.source': 'primary',
    'readback.fallback': 'no replica was there in time',
  });
  const { startTimeUnixNano, endTimeUnixNano } = wait as unknown as Record<string, string>;
  expect(Number(BigInt(endTimeUnixNano!) - BigInt(startTimeUnixNano!)) / 1e6).toBeGreaterThan(150);
});

test('REST and websocket operations are traced alike', () => {
  for (const [name, via] of [
    ['rest User', 'rest'],
    ['query OnSocket', 'websocket'],
  ] as const) {
    const [operation] = named(name);
    expect(operation).toMatchObject({ traceId: TRACE, parentSpanId: PARENT, attributes: { 'readback.via': via } });
    expect(under(operation!).map((span) => span.name)).toEqual(['load users by id']);
  }
});

test('an error has its code, and what is asked wrongly is no fault of the server', () => {
  const [operation] = named('query Broken');
  expect(operation!.attributes['error.type']).toBe('BAD_USER_INPUT');
  expect(operation!.status.code ?? 0).toBe(0);
});

test('the service is named, and no span holds a value', () => {
  expect(plain(collector.bodies[0]!.resourceSpans[0]!.resource.attributes)).toMatchObject({
    'service.name': 'readback',
  });
  const all = JSON.stringify(collector.bodies);
  for (const text of [MARK, 'username', '127.0.0.1', 'totalCount'])
    expect([text, all.includes(text)]).toEqual([text, false]);
});

test("the server's own looks at its databases are no traces", () => {
  const pools = new Set(spans.map(({ attributes }) => attributes['readback.pool']));
  expect([...pools].filter((pool) => typeof pool === 'string').toSorted()).toEqual([
    'reads of replica-1',
    'reads of the primary',
    'writes',
  ]);
});

/** Writes down what a process has loaded, when it ends. */
const HOOK = `import { registerHooks } from 'node:module';
import { writeFileSync } from 'node:fs';
const loaded = [];
registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
process.on('exit', () => writeFileSync(process.env.LOADED_FILE, JSON.stringify(loaded)));`;

describe('the built program', () => {
  const folder = mkdtempSync(join(tmpdir(), 'readback-loaded-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  async function run(settings: Record<string, string>) {
    const file = join(folder, 'loaded.json');
    const hook = `--import=data:text/javascript,${encodeURIComponent(HOOK)}`;
    const server = await ownProcess(databases.config, { ...settings, LOADED_FILE: file, NODE_OPTIONS: hook });
    await server.start();
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ query: 'query FromBuild { users(first: 1) { totalCount } }' });
    expect((await fetch(`${server.url}/graphql`, { method: 'POST', headers, body })).status).toBe(200);
    expect(await (await fetch(`${server.url}/metrics`)).text()).toContain('operation="FromBuild"');
    await server.stop();
    const loaded = JSON.parse(readFileSync(file, 'utf8')) as string[];
    return loaded.filter((url) => url.startsWith('file:')).map((url) => readFileSync(fileURLToPath(url), 'utf8'));
  }

  test('loads nothing of OpenTelemetry where nobody asks for traces', async () => {
    const texts = await run({ OTEL_EXPORTER_OTLP_ENDPOINT: '' });
    expect(texts.some((text) => text.includes('readback_requests_total'))).toBe(true);
    expect(texts.some((text) => text.includes('OTLPTraceExporter'))).toBe(false);
  });

  test('traces where somebody does', async () => {
    const texts = await run({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    expect(texts.some((text) => text.includes('OTLPTraceExporter'))).toBe(true);
    expect(spansOf(collector.bodies).map(({ name }) => name)).toContain('query FromBuild');
  });
});
