import { afterAll, beforeAll, expect, test } from 'vitest';
import { CreateUserDocument, UserDocument } from '../../schema/generated/operations.ts';
import { leadsToPooler } from '../database/pooled.ts';
import { setUp } from '../setup/setup.ts';
import { freshDatabases, testConfig, type TestDatabases } from './support/databases.ts';
import { examine } from './support/doctor.ts';
import { startOwnKeyProxy, type OwnKeyProxy } from './support/own-key-proxy.ts';
import { startServer } from './support/server.ts';

let databases: TestDatabases;
let proxies: OwnKeyProxy[];

beforeAll(async () => {
  databases = await freshDatabases();
  const { primary, replicas } = databases.config;
  proxies = await Promise.all([primary, ...replicas].map(({ url }) => startOwnKeyProxy(url)));
});
afterAll(async () => {
  await databases.drop(); // the replica's slot with it, by way of the proxy
  for (const proxy of proxies) proxy.stop();
});

/** As a provider gives its addresses: through its proxies, the replicas' way to the primary, too. */
function throughProxies() {
  const { primary, replicas } = databases.config;
  const [first, ...others] = [primary, ...replicas].map(({ url, adminUrl }, index) => ({
    url: proxies[index]!.through(url),
    adminUrl: proxies[index]!.through(adminUrl),
  }));
  return { ...databases.config, primary: first!, replicas: others };
}

test('a proxy with cancel keys of its own is no pooler: set-up, the server and the doctor go through it', async () => {
  const config = throughProxies();
  expect(await leadsToPooler(config.primary.url, testConfig())).toBe(false);
  await setUp(config, testConfig(), () => {});
  const server = await startServer({}, { ...databases, config });
  try {
    const input = { username: 'proxied', email: 'proxied@example.com', password: 'correct horse' };
    const { data } = await server.query(CreateUserDocument, { input });
    const { user, bookmark } = data.createUser;
    expect(await server.query(UserDocument, { id: user.id }, { 'readback-bookmark': bookmark })).toMatchObject({
      data: { user: { username: 'proxied' } },
      readback: { source: 'replica-1' },
    });
  } finally {
    await server.stop();
  }
  expect((await examine(config)).map(({ check }) => check)).not.toContain('pooler');
});
