import { expect, test } from 'vitest';
import { findingsOf } from './doctor.ts';
import type { Basics, PrimaryFacts, ReplicaFacts } from './facts.ts';
import { planFixes } from './fixes.ts';

const basics = (changes: Partial<Basics> = {}): Basics => ({
  version: 180_004,
  walLevel: 'logical',
  trackCommitTimestamp: 'on',
  isSuperuser: true,
  isStandby: false,
  identity: '1/a',
  isSetUp: true,
  ...changes,
});

const named = (primary: Partial<PrimaryFacts>, replica: Partial<ReplicaFacts>) =>
  findingsOf(
    {
      primary: { name: 'primary', at: 'p:1/a', basics: basics(), ...primary },
      replicas: [{ name: 'replica-1', at: 'r:1/a', basics: basics({ identity: '2/a' }), ...replica }],
    },
    { maxWalBytes: 1 },
  ).map(({ severity, server, check, found }) => `${severity} ${server} ${check}: ${found}`);

test('facts that are well make no findings', () => {
  expect(named({}, {})).toEqual([]);
});

test('a version before 15', () => {
  expect(named({ basics: basics({ version: 140_012, walLevel: 'replica' }) }, {})).toEqual([
    'error primary version: PostgreSQL 14.12',
  ]);
});

test('a standby, and a setting of the wrong side', () => {
  expect(named({}, { basics: basics({ identity: '2/a', isStandby: true, walLevel: 'replica' }) })).toEqual([
    'error replica-1 standby: a physical standby, which cannot be written',
  ]);
});

test('limits: one left is a warning, none an error, two are enough', () => {
  const limits = [
    { setting: 'a', most: 10, used: 8 },
    { setting: 'b', most: 10, used: 9 },
    { setting: 'c', most: 10, used: 10 },
  ];
  expect(named({ limits }, {})).toEqual([
    'error primary limit: 10 of 10 that c allows are taken',
    'warning primary limit: 9 of 10 that b allows are taken',
  ]);
});

test('fixes: each once, copying anew makes others idle, grants come first', () => {
  expect(
    planFixes([
      { name: 'enable-subscription', server: 'replica-1' },
      { name: 'copy-anew', server: 'replica-1' },
      { name: 'copy-anew', server: 'replica-1' },
      { name: 'enable-subscription', server: 'replica-2' },
      { name: 'grant', server: 'primary' },
    ]),
  ).toEqual([
    { name: 'grant', server: 'primary' },
    { name: 'copy-anew', server: 'replica-1' },
    { name: 'enable-subscription', server: 'replica-2' },
  ]);
});
