import type { Lsn } from '../../lib/lsn.ts';
import type { Identity } from '../../setup/identities.ts';
import type { ReadOnly } from '../../setup/read-only.ts';
import type { Texts } from '../../setup/texts.ts';
import type { Hidden } from '../../setup/row-security.ts';
import type { TableShape } from '../../setup/shapes.ts';

/** What the doctor has asked the servers; the checks are pure functions of it. */
export interface Facts {
  primary: PrimaryFacts;
  replicas: ReplicaFacts[];
}

export interface ServerFacts {
  name: string;
  at: string;
  /** Why it cannot be used; then nothing else is known. */
  unreachable?: string;
  basics?: Basics;
  clock?: Clock;
  /** Undefined where the version is too old to be asked, or the login may not look. */
  login?: LoginFacts;
  /** The URL leads to a connection pooler. */
  isPooled?: boolean;
  /** Poolers whose sessions are not what the server needs. */
  poolers?: PoolerFacts[];
  /** Names of the roles that set-up makes and that are not there. */
  texts?: Texts;
  missingRoles?: string[];
  missingGrants?: Grant[];
  limits?: Limit[];
}

export interface Basics {
  /** As server_version_num: 180004. */
  version: number;
  walLevel: string;
  trackCommitTimestamp: string;
  isSuperuser: boolean;
  isStandby: boolean;
  /** Cluster and database. */
  identity: string;
  /** The schema readback is there, with what the first migration makes. */
  isSetUp: boolean;
}

/** How far its clock is ahead of this machine's, in milliseconds: the truth lies between the two. */
export interface Clock {
  least: number;
  most: number;
}

/** The login that the server runs as. */
export interface LoginFacts {
  name: string;
  isSuperuser: boolean;
  /** Why it cannot connect. */
  refused?: string;
  /** Roles that it may not take on. */
  lacks: string[];
}

export interface PoolerFacts {
  at: string;
  login: string;
  /** What is wrong with its sessions. */
  faults: string[];
  /** Why it cannot be asked. */
  unreachable?: string;
}

export interface Grant {
  role: string;
  privilege: string;
  kind: 'schema' | 'function' | 'table';
  object: string;
  /** Of a table; null: the whole of it. */
  column: string | null;
}

/** Something of which a server has only so many. */
export interface Limit {
  setting: string;
  most: number;
  used: number;
}

export interface PrimaryFacts extends ServerFacts {
  details?: PrimaryDetails;
  /** Where PRIMARY_ADMIN_URL names several: each of them. */
  hosts?: HostFacts[];
}

/** One of several hosts, of which one is the primary and the others are its standbys. */
export interface HostFacts {
  at: string;
  /** Why it cannot be asked; then nothing else is known. */
  unreachable?: string;
  isStandby?: boolean;
  /** Settings of a standby with which it does not keep the primary's logical slots. */
  unset?: string[];
  /** Slots that it keeps for when it is promoted. */
  keeps?: string[];
}

export interface PrimaryDetails {
  /** null: there is none. */
  publication: { insert: boolean; update: boolean; delete: boolean; truncate: boolean } | null;
  /** What it sends. */
  published: TableShape[];
  /** The same tables, with all columns. */
  whole: TableShape[];
  /** Tables of the publication of which no update or delete is possible. */
  withoutIdentity: string[];
  slots: Slot[];
  /** The physical slots that logical ones wait for; null: this version knows no such setting. */
  standbySlots: string | null;
  /** In MB; -1: no limit. */
  maxSlotWalKeepSize: number;
  /** In seconds; 0: no limit; null: before PostgreSQL 18, which has none. */
  idleSlotTimeoutS: number | null;
  transactions: LongTransaction[];
  /** Why it does not tell its earlier timelines, and the role that it would read them as; null: it does. */
  timelines: { refused: string; owner: string } | null;
  /** What row level security hides from the server, and from the logins of the replicas. */
  hidden: Hidden[];
  identities: Identity[];
}

export interface Slot {
  name: string;
  isActive: boolean;
  /** reserved, extended, unreserved or lost; null: it holds nothing yet. */
  walStatus: string | null;
  /** It is kept on standbys; null: this version knows no such slots. */
  isFailover: boolean | null;
  heldBytes: number | null;
  /** WAL until the server gives it up; null: no limit, or lost. */
  safeBytes: number | null;
  /** Why the server has given it up, from PostgreSQL 17 on. */
  invalidationReason: string | null;
}

export interface LongTransaction {
  /** null: prepared, of no process. */
  pid: number | null;
  what: string;
  ms: number;
}

export interface ReplicaFacts extends ServerFacts {
  details?: ReplicaDetails;
}

export interface ReplicaDetails {
  subscription: SubscriptionFacts | null;
  /** Other subscriptions of the same database. */
  others: string[];
  subscribed: SubscribedTable[];
  /** Tables with the trigger that logs changes, subscribed or not. */
  watched: string[];
  /** Of all tables that are published, subscribed or watched. */
  shapes: TableShape[];
  triggers: Trigger[];
  /** Who besides their owners may write into those tables and into the change log. */
  writers: Writer[];
  /** Set-up has ended: the log says from where on it is complete. */
  isLogReady: boolean;
  /** What the feed itself refuses to go on with. */
  feedFaults: string[];
  /** Set-up was told that synchronous_commit may be off. */
  mayLose: boolean;
  /** What row level security hides from the server. */
  hidden: Hidden[];
  identities: Identity[];
  readOnly: ReadOnly | null;
  /** The end of a transaction that was seen here, and is not here any more; null: none is known. */
  missing: Lsn | null;
  /** It has applied so much more than the primary has, or has for certain, on its timeline. */
  aheadBytes?: number;
  /** Only where a heartbeat could be sent. */
  probe?: Probe;
}

export interface SubscriptionFacts {
  isEnabled: boolean;
  streaming: string;
  /** Its synchronous_commit. */
  commit: string;
  twoPhase: boolean;
  binary: boolean;
  /** `any`, or `none`: only what was written on the primary itself. null: before PostgreSQL 16, which sends all. */
  origin: string | null;
  slot: string | null;
  publications: string[];
  /** The login and address that it connects with; null: not ours to see. */
  connectsAs: { user: string; address: string } | null;
  /** Why the same connection cannot be made from here; null: it can, or it was not tried. */
  refused: string | null;
  conflicts: Conflicts;
}

/** By PostgreSQL 18's names without `confl_`; only those that happened. */
export type Conflicts = Record<string, number>;

export interface SubscribedTable {
  table: string;
  isReady: boolean;
  /** Copied so far; null: nobody is copying it now. */
  rows: number | null;
}

export interface Trigger {
  table: string;
  name: string;
  /** As pg_trigger has it; A is ENABLE ALWAYS. */
  enabled: string;
}

export interface Writer {
  table: string;
  role: string;
  privileges: string[];
}

/** What became of a heartbeat written on the primary. */
export interface Probe {
  outcome: 'arrived' | 'late' | 'disabled';
  waitedMs: number;
  /** Failures that the statistics tell of, since they were last reset. */
  applyErrors: number;
  syncErrors: number;
  /** The apply worker, where it runs. */
  worker: { pid: number; blockers: string[] } | null;
  lagBytes: number | null;
}
