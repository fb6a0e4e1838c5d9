import { mismatches, whatDiffers } from '../../../setup/identities.ts';
import { whatIsReadOnly } from '../../../setup/read-only.ts';
import type { PrimaryFacts, ReplicaFacts, SubscriptionFacts } from '../facts.ts';
import type { Check, Finding, Fix } from '../finding.ts';

/**
 * Settings by which the apply worker fails, or sooner or later will. Each has a remedy of its own, after which what waits
 * is applied: nothing is skipped, and nothing is copied again.
 */
export function causesOf({ name, details, basics }: ReplicaFacts, primary: PrimaryFacts): Finding[] {
  if (!details) return [];
  const { subscription, readOnly, identities } = details;
  const canAlter = basics!.version >= 180_000 && (primary.basics?.version ?? 0) >= 180_000;
  return [
    ...(subscription ? options(name, subscription, canAlter) : []),
    ...(readOnly ? [readOnlyFinding(name, whatIsReadOnly(readOnly), readOnly.owner)] : []),
    ...mismatches(primary.details?.identities ?? [], identities).map((one) =>
      unlikeIdentity(one.side === 'primary' ? primary.name : name, one.table, whatDiffers(one)),
    ),
  ];
}

function options(server: string, { twoPhase, binary, origin }: SubscriptionFacts, canAlter: boolean): Finding[] {
  return [
    ...(twoPhase ? [twoPhaseFinding(server, canAlter)] : []),
    ...(binary
      ? [option(server, 'binary', 'binary = true', 'binary = false', 'types that differ cannot be read', 'send-text')]
      : []),
    ...(origin === 'none'
      ? [
          option(
            server,
            'origin',
            'origin = none',
            'origin = any',
            'what the primary itself gets by replication is left out',
            'any-origin',
          ),
        ]
      : []),
  ];
}

const option = (
  server: string,
  check: Check,
  found: string,
  wanted: string,
  reason: string,
  fix: Fix['name'],
): Finding => ({
  check,
  severity: 'error',
  server,
  found: `${found} of the subscription`,
  expected: `${wanted}: else ${reason}`,
  remedy: `Run there: alter subscription readback set (${wanted});${check === 'origin' ? ' then readback verify, for what was left out.' : ''}`,
  fix: { name: fix, server },
});

const twoPhaseFinding = (server: string, canAlter: boolean): Finding => ({
  check: 'two-phase',
  severity: 'error',
  server,
  found:
    'two_phase of the subscription is on: a transaction that is prepared on the primary cannot be applied, as triggers here notify',
  expected: 'two_phase = false: such a transaction is sent as it is committed',
  remedy: canAlter
    ? 'Run there: alter subscription readback disable; alter subscription readback set (two_phase = false); alter subscription readback enable; what waits is applied then.'
    : 'Before PostgreSQL 18 it cannot be changed: run readback doctor --fix, which copies the replica again with a subscription that has it off.',
  fix: { name: canAlter ? 'one-phase' : 'copy-again', server },
});

const readOnlyFinding = (server: string, found: string, owner: string): Finding => ({
  check: 'read-only',
  severity: 'error',
  server,
  found,
  expected: 'an apply worker that may write',
  remedy: `Take the setting back, or run there: alter role ${owner} in database … set default_transaction_read_only = off; what waits is applied then. Others stay read-only.`,
  fix: { name: 'let-write', server },
});

const unlikeIdentity = (server: string, table: string, found: string): Finding => ({
  check: 'replica-identity',
  severity: 'error',
  server,
  found,
  expected: 'the primary key on both sides: else no update or delete can be applied',
  remedy: `Run readback doctor --fix: it sets the identity of ${table} back to its key, and has applied what was sent under the other one.`,
  fix: { name: 'known-by-key', server, subject: table },
});
