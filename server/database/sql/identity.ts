import type { Sql } from '../connect.ts';
import { parseLsn, type Lsn } from '../../lib/lsn.ts';

export interface IdentityRow {
  cluster: bigint;
  timeline: number;
  flushed: Lsn;
}

/** Of the primary, and how far its WAL is flushed. */
export async function identityOf(primary: Sql): Promise<IdentityRow> {
  const [row] = await primary<[Omit<IdentityRow, 'cluster'> & { cluster: string }]>`
    select cluster, timeline, flushed from readback.identity()`;
  return { ...row, cluster: BigInt(row.cluster) };
}

/** Where each earlier timeline of the primary ended: it is in a file, which not everybody may have PostgreSQL read. */
export async function timelineEnds(primary: Sql): Promise<Map<number, Lsn>> {
  const rows = await primary<{ timeline: number; ended: string }[]>`
    select timeline, ended::text from readback.timelines()`;
  return new Map(rows.map(({ timeline, ended }) => [timeline, parseLsn(ended)]));
}
