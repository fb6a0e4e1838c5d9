/** What `readback status --json` prints: names stay, new ones may be added. */
export interface StatusReport {
  at: string;
  /** Every server answers, and every replica applies all tables. */
  isWell: boolean;
  primary: PrimaryReport;
  replicas: ReplicaReport[];
}

interface ServerReport {
  name: string;
  /** Host, port and database. */
  at: string;
  /** Why it cannot be used; null: it answers. */
  error: string | null;
  version: string | null;
  /** On the primary, where its WAL is flushed to; on a replica, what of it is applied. */
  position: string | null;
  tables: TableReport[];
  /** Who is connected as Readback. */
  clients: ClientReport[];
}

export interface PrimaryReport extends ServerReport {
  slots: SlotReport[];
}

export interface ReplicaReport extends ServerReport {
  lagBytes: number | null;
  /** How long a change takes to arrive now; null: longer than was waited for, or nothing arrives. */
  lagMs: number | null;
  subscription: SubscriptionReport | null;
  slot: SlotReport | null;
  changeLog: ChangeLogReport | null;
}

export interface TableReport {
  table: string;
  /** As the statistics count them. */
  rows: number;
  bytes: number;
  /** Of the replica's copy; null on the primary. */
  sync: 'ready' | 'copying' | null;
}

export interface ClientReport {
  application: string;
  user: string;
  connections: number;
  /** Of those, in a statement or transaction now. */
  busy: number;
}

export interface SlotReport {
  name: string;
  isActive: boolean;
  walStatus: string | null;
  heldBytes: number | null;
  /** WAL until the primary gives it up; null: no limit, or lost. */
  safeBytes: number | null;
  /** Why it was given up. */
  invalidationReason: string | null;
}

export interface SubscriptionReport {
  isEnabled: boolean;
  streaming: 'off' | 'on' | 'parallel';
  /** Process of the apply worker. */
  worker: number | null;
  receivedAt: string | null;
  applyErrors: number;
  syncErrors: number;
}

export interface ChangeLogReport {
  logId: string;
  /** As the statistics count them. */
  rows: number;
  bytes: number;
  /** When its oldest and newest change were applied. */
  oldest: string | null;
  newest: string | null;
  /** Where its newest transaction begins. */
  position: string | null;
  prunedTo: string;
  /** Positions of other replicas are good from here on; null: set-up has not ended. */
  completeSince: string | null;
}
