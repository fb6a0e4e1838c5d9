import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startEmbedded } from '../cluster/embedded.ts';
import { findRunning } from '../cluster/running.ts';

test('a pair is found by its folder while it runs, at the ports that it has', { timeout: 60_000 }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'readback-running-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  expect(findRunning(join(dir, 'missing'))).toBeUndefined();
  expect(findRunning(dir)).toBeUndefined();
  const settings = { fsync: 'off' };
  const pair = await startEmbedded({ dir, primaryPort: 0, replicaPort: 0, settings, say: () => {} });
  onTestFinished(() => pair.stop());
  expect(findRunning(dir)).toEqual({ primary: pair.primary, replica: pair.replica });
  await pair.stopServer('replica');
  expect(findRunning(dir)).toBeUndefined();
});
