import type { SlotRow } from '../database/sql/slots.ts';

/**
 * What a slot is for the primary, the better first. excessive: it holds more than SLOT_WAL_MAX_BYTES, or the primary is
 * about to give it up by itself. lost: it is gone, or was given up: its replica must be copied again.
 */
export type SlotCondition = 'well' | 'large' | 'excessive' | 'lost';

export interface SlotView extends SlotRow {
  /** Whose it is; null: of none that was seen since the server started. */
  replica: string | null;
  condition: SlotCondition;
}

export interface SlotLimits {
  warnBytes: number;
  maxBytes: number;
}

/** Pure. `owners`: the replicas by the slot that each names. */
export function viewOf(
  rows: readonly SlotRow[],
  owners: ReadonlyMap<string, string>,
  limits: SlotLimits,
): readonly SlotView[] {
  const known = new Set(rows.map(({ name }) => name));
  const gone = [...owners.keys()].filter((name) => !known.has(name));
  return [...rows, ...gone.map(missing)].map((row) => ({
    ...row,
    replica: owners.get(row.name) ?? null,
    condition: conditionOf(row, limits),
  }));
}

const missing = (name: string): SlotRow => ({
  name,
  isActive: false,
  walStatus: 'lost',
  heldBytes: null,
  owedBytes: null,
  limitBytes: null,
  safeBytes: null,
  inactiveSince: null,
  reason: 'dropped',
});

function conditionOf({ walStatus, heldBytes }: SlotRow, { warnBytes, maxBytes }: SlotLimits): SlotCondition {
  if (walStatus === 'lost') return 'lost';
  if (walStatus === 'unreserved' || (heldBytes ?? 0) > maxBytes) return 'excessive';
  return (heldBytes ?? 0) > warnBytes ? 'large' : 'well';
}

/** How grave it is: one more each time that what it holds has doubled, so that the log tells of it a few times, not each time. */
export function gravityOf({ condition, heldBytes }: SlotView, { warnBytes }: SlotLimits): string {
  const doubled = condition === 'well' ? 0 : Math.floor(Math.log2(Math.max(1, (heldBytes ?? 0) / warnBytes)));
  return `${condition} ${doubled}`;
}

/** For whom it may concern at night: what is, and what to do. Null where all is well. */
export function adviceOf({ condition, isActive, replica, heldBytes, owedBytes, reason }: SlotView): string | null {
  const whose = replica ?? 'a replica that this server does not know';
  const holds = `holds ${megabytes(heldBytes ?? 0)} of the primary's WAL${isActive ? '' : ', and nobody reads it'}`;
  if ((condition === 'large' || condition === 'excessive') && (owedBytes ?? 0) < (heldBytes ?? 0) / 2)
    return `The slot of ${whose} ${holds}, though the replica has most of it: the primary lets go of that within a minute, or when a transaction that is open there ends (readback doctor names it).`;
  switch (condition) {
    case 'well':
      return null;
    case 'large':
      return `The slot of ${whose} ${holds}: find out why the replica does not apply (readback doctor).`;
    case 'excessive':
      return `The slot of ${whose} ${holds}: get the replica to apply now, or give it up with readback replica drop, before the primary's disk is full.`;
    case 'lost':
      return `The slot of ${whose} is lost (${reason ?? 'max_slot_wal_keep_size'}): run readback doctor --fix, which copies the replica again.`;
  }
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1_048_576).toLocaleString('en')} MB`;
