import { expect, test } from 'vitest';
import { connect } from '../database/connect.ts';
import { Listener } from '../database/listener.ts';
import { freshDatabases } from './support/databases.ts';

test('a connection that cannot be opened for a moment, as a file is missing, is opened later, and rings', async () => {
  const databases = await freshDatabases({ settle: false });
  const applicationName = 'listener under test';
  let [opened, rung] = [0, 0];
  const complaints: string[] = [];
  const listener = new Listener({
    open: (hooks) => {
      opened++;
      if (opened === 2 || opened === 3) throw new Error('ENOENT: no such file or directory: ca.pem');
      return connect(databases.config.primary.adminUrl, { max: 1, connectTimeoutMs: 5000, applicationName, ...hooks });
    },
    channel: 'readback',
    rang: () => rung++,
    heartbeatMs: 5000,
    complain: (error) => complaints.push((error as Error).message),
  });
  await listener.start();
  expect([opened, rung]).toEqual([1, 1]);
  await databases.primary`
    select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = ${applicationName} and datname = current_database()`;
  await expect.poll(() => rung).toBe(2);
  expect(opened).toBe(4);
  expect(complaints).toContain('ENOENT: no such file or directory: ca.pem');
  await databases.primary`notify readback`;
  await expect.poll(() => rung).toBe(3);
  await listener.stop();
  await databases.drop();
});
