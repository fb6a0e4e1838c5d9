import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { ChangesDocument, CreateUserDocument, UserDocument } from '../../schema/generated/operations.ts';
import type { DatabaseConfig } from '../../server/boot/config.ts';
import { createLog, serve, type Server } from '../../server/boot/serve.ts';
import { testConfig } from '../../server/test/support/databases.ts';
import { connectTo, type TestClient } from '../../server/test/support/server.ts';
import { subscribeTo } from '../../server/test/support/subscribe.ts';
import { cluster, database, isHere, readback, run, SLOW, stopClusters } from './support/versions.ts';

const NAME = 'upgraded';
/** As long as a person types, at most: the writes' pause that docs/upgrades.md speaks of. */
const PAUSE_MS = 20_000;

/** Servers one after the other, as behind a balancer: who asks is sent to the latest. */
class Serving {
  client!: TestClient;
  #server: Server | undefined;
  #asked = new Set<Promise<unknown>>();

  /** Sent to the latest, which is not stopped before it has answered. */
  async ask<T>(work: (client: TestClient) => Promise<T>): Promise<T> {
    const [asked, answer] = [this.#asked, work(this.client)];
    asked.add(answer);
    return answer.finally(() => asked.delete(answer));
  }

  async moveTo(databases: DatabaseConfig): Promise<void> {
    const config = testConfig();
    const server = await serve(config, databases, createLog(config));
    const earlier = this.#server;
    this.client = connectTo(`http://127.0.0.1:${server.port}`);
    this.#server = server;
    const asked = this.#asked;
    this.#asked = new Set();
    await Promise.allSettled(asked);
    await earlier?.stop();
  }

  async stop(): Promise<void> {
    await this.client.dispose();
    await this.#server?.stop();
  }
}

/** One who writes and one who reads, without a pause, whoever serves. */
class Load {
  readonly acknowledged: string[] = [];
  readonly refusals = new Set<string>();
  readonly failedReads: unknown[] = [];
  lastWriteAt = 0;
  reads = 0;
  readonly #serving: Serving;
  readonly #loops: Promise<unknown>;
  #isOver = false;

  constructor(serving: Serving) {
    this.#serving = serving;
    this.#loops = Promise.all([this.#loop(() => this.#write()), this.#loop(() => this.#read())]);
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#loops;
  }

  async #loop(once: () => Promise<void>): Promise<void> {
    while (!this.#isOver) {
      await once();
      await turn();
    }
  }

  async #write(): Promise<void> {
    const username = `user-${this.acknowledged.length}-${crypto.randomUUID().slice(0, 8)}`;
    const input = { username, email: `${username}@example.com`, password: 'correct horse' };
    const { data, errors } = await this.#serving.ask((client) => client.query(CreateUserDocument, { input }));
    for (const { extensions } of errors) this.refusals.add(extensions.code);
    if (errors.length > 0) return;
    this.acknowledged.push(data.createUser.user.id);
    this.lastWriteAt = Date.now();
  }

  async #read(): Promise<void> {
    const { errors, readback: told } = await this.#serving.ask((client) =>
      client.query('{ users(first: 1) { totalCount } }'),
    );
    if (errors.length > 0 || !told.source.startsWith('replica-')) this.failedReads.push({ errors, told });
    this.reads++;
  }
}

describe.skipIf(!isHere)('from PostgreSQL 16 to 18, under load:', SLOW, () => {
  afterAll(stopClusters, SLOW.timeout);

  test('replicas first, then the primary: no acknowledged write is lost, reads go on throughout', async () => {
    const [old, next] = await Promise.all([cluster(16), cluster(18)]);
    const primary = await database(old.servers['primary']!, NAME);
    const [first, second, third] = await Promise.all(
      [old.servers['replica-1']!, next.servers['replica-1']!, next.servers['replica-2']!].map((one) =>
        database(one, NAME),
      ),
    );
    const of = (...replicas: DatabaseConfig['replicas']) => ({ primary, replicas, replicationUrl: undefined });
    await readback(of(first!), 'migrate');
    const serving = new Serving();
    await serving.moveTo(of(first!));
    const load = new Load(serving);

    await readback(of(first!), 'replica', 'add', second!.url, '--admin-url', second!.adminUrl);
    await serving.moveTo(of(first!, second!));
    await readback(of(first!, second!), 'replica', 'drop', 'replica-1', '--yes');
    await serving.moveTo(of(second!));

    const upgraded = { ...of(third!), primary: await database(next.servers['primary']!, NAME) };
    await readback(upgraded, 'migrate');
    const { hostname, port } = new URL(primary.adminUrl);
    await run(
      primary,
      `create publication upgrade for tables in schema public;
       create role upgrading login replication password 'secret' in role pg_read_all_data`,
    );
    await run(
      upgraded.primary,
      `create subscription upgrade connection 'host=${hostname} port=${port} dbname=${NAME} user=upgrading password=secret'
       publication upgrade`,
    );
    const copying = `select from pg_subscription_rel where srsubstate <> 'r'`;
    await expect.poll(() => run(upgraded.primary, copying), { timeout: 60_000 }).toEqual([]);
    const bookmark = (await serving.client.query('{ users(first: 1) { totalCount } }')).readback.bookmark;
    const cursor = await cursorOf(serving.client);

    const { username: login } = new URL(primary.url);
    await run(primary, `alter role ${login} nologin`);
    await run(primary, `select pg_terminate_backend(pid) from pg_stat_activity where usename = '${login}'`);
    await expect.poll(() => [...load.refusals]).toEqual(['PRIMARY_UNAVAILABLE']);
    const began = load.lastWriteAt;
    const [flushed] = await run<{ lsn: string }>(primary, 'select pg_current_wal_flush_lsn()::text as lsn');
    const missing = `
      select from pg_replication_slots where slot_name = 'upgrade' and confirmed_flush_lsn < '${flushed!.lsn}'`;
    await expect.poll(() => run(primary, missing), { timeout: 30_000 }).toEqual([]);
    for (const { statement } of await run<{ statement: string }>(primary, SEQUENCES))
      await run(upgraded.primary, statement);
    await run(upgraded.primary, 'drop subscription upgrade');
    await serving.moveTo(upgraded);
    await expect.poll(() => load.lastWriteAt).toBeGreaterThan(began);
    const pauseMs = load.lastWriteAt - began;
    await load.end();

    console.log(
      `${load.acknowledged.length} writes, ${load.reads} reads; no write was taken for ${(pauseMs / 1000).toFixed(1)} s.`,
    );
    expect(load.failedReads).toEqual([]);
    expect(pauseMs).toBeLessThan(PAUSE_MS);
    const there = await run<{ id: string }>(upgraded.primary, 'select id from users');
    expect(load.acknowledged.filter((id) => !there.some((row) => row.id === id))).toEqual([]);
    expect(await readback(upgraded, 'verify')).toContain('The same on both sides');
    expect(await readback(upgraded, 'doctor')).toContain('No faults found.');

    const id = load.acknowledged[0]!;
    const { client } = serving;
    expect(await client.failure(UserDocument, { id }, { 'readback-bookmark': bookmark })).toBe('BAD_BOOKMARK');
    const events = subscribeTo(client.websocket(), ChangesDocument, { after: cursor });
    expect((await events.failure())[0]).toMatchObject({ extensions: { code: 'BAD_CURSOR' } });
    await serving.stop();
  });
});

/** What sets the sequences of another server to where they are. */
const SEQUENCES = `
  select format('select setval(%L, %s)', format('%I.%I', schemaname, sequencename), last_value) as statement
  from pg_sequences where last_value is not null and schemaname <> 'readback'`;

/** Of where the feed is now. */
async function cursorOf(client: TestClient): Promise<string> {
  // While others write, the first event may be a change.
  const document = 'subscription { changes { ... on CaughtUp { cursor } ... on Change { cursor } } }';
  const events = subscribeTo<any>(client.websocket(), document);
  const { changes } = await events.next();
  await events.end();
  return changes.cursor;
}
