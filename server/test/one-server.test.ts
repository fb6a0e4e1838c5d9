import { rmSync } from 'node:fs';
import postgres from 'postgres';
import { expect, test } from 'vitest';
import { startEmbeddedServers } from '../../infra/cluster/embedded.ts';
import type { DatabaseUrls } from '../boot/config.ts';
import { setUp } from '../setup/setup.ts';
import { testConfig } from './support/databases.ts';
import { quickFolder } from './support/folder.ts';

const MINUTES = { timeout: 180_000 };

/** Roles are a server's, and all of these databases need the same, which are not there yet. */
test('databases of fresh servers: two replicas on one of them, then three set-ups at once', MINUTES, async () => {
  const dir = quickFolder();
  const control = await startEmbeddedServers({
    dir,
    servers: ['primary', 'replica'].map((name) => ({ name, port: 0 })),
    say: () => {},
    settings: { fsync: 'off' },
  });
  const make = async (server: string, name: string): Promise<DatabaseUrls> => {
    const { url, adminUrl } = control.servers[server]!;
    const sql = postgres(adminUrl, { max: 1 });
    await sql.unsafe(`create database ${name}`);
    await sql.end();
    const within = (text: string) => Object.assign(new URL(text), { pathname: `/${name}` }).href;
    return { url: within(url), adminUrl: within(adminUrl) };
  };
  try {
    const said: string[] = [];
    const setUpOn = (primary: DatabaseUrls, replicas: DatabaseUrls[]) =>
      setUp({ primary, replicas, replicationUrl: undefined }, testConfig(), (line) => said.push(line));
    await setUpOn(await make('primary', 'a'), [await make('replica', 'a1'), await make('replica', 'a2')]);
    const others = [];
    for (const name of ['b', 'c', 'd'])
      others.push([await make('primary', name), await make('replica', name)] as const);
    await Promise.all(others.map(([primary, replica]) => setUpOn(primary, [replica])));
    expect(said.filter((line) => line.includes('applied engine 0001'))).toHaveLength(3 + 3 * 2);
  } finally {
    await control.stop();
    rmSync(dir, { recursive: true, force: true });
  }
});
