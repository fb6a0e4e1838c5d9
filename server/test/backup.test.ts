import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CreatePostDocument, CreateUserDocument, UserDocument } from '../../schema/generated/operations.ts';
import { withServers } from '../setup/servers.ts';
import { verify } from '../operate/verify/verify.ts';
import { setUp } from '../setup/setup.ts';
import { testConfig, type TestDatabases } from './support/databases.ts';
import { faults, fixAll } from './support/doctor.ts';
import { startServer, type TestServer } from './support/server.ts';
import { configure, copyFiles, ownServers, putFile, type OwnServers } from './support/standby.ts';
import { subscribeTo } from './support/subscribe.ts';

/** A primary that archives its WAL, and a replica. */
let servers: OwnServers;
let config: TestDatabases['config'];
let server: TestServer | undefined;
const folder = (name: string) => join(servers.dir, name);
beforeAll(async () => {
  servers = await ownServers(['primary', 'replica-1']);
  const { uid, gid } = statSync(folder('primary'));
  mkdirSync(folder('archive'));
  chownSync(folder('archive'), uid, gid);
  const archive_command = `test ! -f ${folder('archive')}/%f && cp %p ${folder('archive')}/%f`;
  configure(folder('primary'), { archive_mode: 'on', archive_command });
  await servers.stopServer('primary');
  await servers.startServer('primary');
  const { primary, 'replica-1': replica } = servers.servers;
  config = { primary: primary!, replicas: [replica!], replicationUrl: undefined };
  await setUp(config, testConfig(), () => {});
  server = await serveHere();
}, 60_000);
afterAll(async () => {
  await server?.stop();
  await servers?.end();
}, 60_000);

const serveHere = () => startServer({ MONITOR_INTERVAL_MS: 100 }, { config } as TestDatabases);
const WITHIN = { timeout: 15_000, interval: 20 };
const CHANGES = `subscription ($after: Cursor) { changes(tables: ["posts"], after: $after) {
  __typename ... on CaughtUp { cursor } ... on PostChange { cursor key } } }`;

/** What pg_basebackup does, by hand: files that change meanwhile are put right by the WAL since the backup began. */
async function takeBackup(): Promise<void> {
  const sql = await servers.admin('primary').reserve();
  await sql`select pg_backup_start('test', true)`;
  copyFiles(folder('primary'), folder('base'));
  const [backup] = await sql`select labelfile from pg_backup_stop()`;
  sql.release();
  for (const part of ['pg_wal', 'pg_replslot']) {
    const { uid, gid } = statSync(join(folder('base'), part));
    rmSync(join(folder('base'), part), { recursive: true });
    mkdirSync(join(folder('base'), part), { mode: 0o700 });
    chownSync(join(folder('base'), part), uid, gid);
  }
  putFile(folder('base'), 'backup_label', backup!['labelfile'] as string);
}

/** Puts the primary back to how it was at a position: a new timeline begins there. */
async function restoreTo(lsn: string): Promise<void> {
  await servers.stopServer('primary'); // archives the rest of its WAL
  execFileSync('mv', [folder('primary'), folder('spoilt')]);
  copyFiles(folder('base'), folder('primary'));
  configure(folder('primary'), {
    restore_command: `cp ${folder('archive')}/%f %p`,
    recovery_target_lsn: lsn,
    recovery_target_action: 'promote',
  });
  putFile(folder('primary'), 'recovery.signal', '');
  await servers.startServer('primary');
  const isRecovering = async () =>
    (await servers.admin('primary')`select pg_is_in_recovery() as is`)[0]!['is'] as boolean;
  await expect.poll(() => isRecovering().catch(() => true), WITHIN).toBe(false);
}

test(
  'GUARANTEE the primary is put back to before a mistake: the doctor names what is ahead and repairs it, and nothing of the lost future is taken for good',
  { timeout: 60_000 },
  async () => {
    const input = { username: 'author', email: 'author@example.com', password: 'correct horse' };
    const created = (await server!.query(CreateUserDocument, { input })).data.createUser;
    const post = (title: string) =>
      server!.query(CreatePostDocument, {
        input: { authorId: created.user.id, title, body: '-' },
        confirm: 'REPLICATED',
      });
    await post('in the backup');
    await takeBackup();
    const kept = (await post('in the archive')).data.createPost;

    const events = subscribeTo<any>(server!.websocket(), CHANGES);
    await events.next();
    const [before] = await servers.admin('primary')`select pg_current_wal_flush_lsn()::text as lsn`;
    await servers.admin('primary')`delete from posts`;
    for (let n = 0; n < 20; n++) await post(`lost ${n}`);
    const lost = (await post('lost at last')).data.createPost;
    let cursor = '';
    for (let seen = 0; seen < 23;) {
      const { changes } = await events.next();
      cursor = changes.cursor as string;
      if (changes.__typename === 'PostChange') seen++;
    }
    await server!.stop();
    server = undefined;

    await restoreTo(before!['lsn'] as string);
    expect(await faults(config)).toEqual(expect.arrayContaining(['replica-1 replica-ahead', 'replica-1 slot-missing']));
    await fixAll(config);
    expect(await faults(config)).toEqual([]);
    const titles = await servers.admin('replica-1')`select title from posts order by title`;
    expect(titles.map(({ title }) => title as string)).toEqual(['in the archive', 'in the backup']);
    const report = await withServers(config, testConfig(), 'test', (all) =>
      verify(all, [], { chunkRows: 10_000, most: 10, timeoutMs: 30_000 }, () => {}),
    );
    expect(report.isSame).toBe(true);

    server = await serveHere();
    const read = (bookmark: string) =>
      server!.query(UserDocument, { id: created.user.id }, { 'readback-bookmark': bookmark });
    expect((await read(kept.bookmark)).errors).toEqual([]);
    expect((await read(lost.bookmark)).errors).toMatchObject([{ extensions: { code: 'BAD_BOOKMARK' } }]);
    // Writes past the lost positions make them no better.
    for (let n = 0; n < 40; n++) await post(`again ${n}`);
    expect((await read(lost.bookmark)).errors).toMatchObject([{ extensions: { code: 'BAD_BOOKMARK' } }]);
    const [error] = await subscribeTo(server.websocket(), CHANGES, { after: cursor }).failure();
    expect(error!.extensions.code).toBe('CURSOR_EXPIRED');
  },
);
