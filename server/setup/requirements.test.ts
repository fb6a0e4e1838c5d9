import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { projectRoot } from '../lib/root.ts';
import { PROVIDERS } from './providers.ts';
import { REQUIREMENTS, type Facts } from './requirements.ts';

const OWN: Omit<Facts, 'provider'> = {
  version: 140_000,
  walLevel: 'replica',
  trackCommitTimestamp: 'off',
  isSuperuser: false,
  isStandby: true,
  identity: '1/a',
  login: 'owner',
  database: 'shop',
  mayMakeRoles: false,
  mayCreate: false,
  notPassedOn: ['readback_reader'],
  notCopied: ['users'],
  schemaOwner: 'other',
  mayReplicate: false,
  maySubscribe: false,
  subscriptionOwner: 'other',
  seesSessions: false,
  asksOrigin: false,
  asksOwnOrigin: false,
  subscribes: true,
  pooled: true,
};
const STREAMS_AS = { login: 'streamer', exists: false, mayReplicate: false, canBeSet: false };
const PLAN = { isAwaited: false, hasPassword: false, streamsAs: STREAMS_AS };

test.each(PROVIDERS)('no requirement of set-up says alter system to customers of $name', (provider) => {
  for (const version of [140_000, 150_000, 180_000])
    for (const { told } of REQUIREMENTS) {
      const line = told({ ...OWN, version, provider }, PLAN);
      expect(line).toMatch(/^[^\n]+[.;]$/);
      expect(line).not.toMatch(/alter system|as a superuser/i);
    }
});

test('nothing but what knows the providers speaks of alter system', () => {
  const folder = join(projectRoot, 'server');
  const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.ts') && !/\.test\.ts$|^test\/|node_modules/.test(name),
  );
  expect(sources.filter((name) => /alter system/i.test(readFileSync(join(folder, name), 'utf8')))).toEqual([
    'setup/providers.ts',
  ]);
});
