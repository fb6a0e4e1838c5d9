/**
 * error: replication or the server does not work, or data is lost. warning: it will come to that, or works by chance.
 * advice: all is well, and could be safer.
 */
export type Severity = 'error' | 'warning' | 'advice';

/** What is wrong, by a name that stays. */
export type Check =
  | 'unreachable'
  | 'version'
  | 'wal-level'
  | 'commit-timestamps'
  | 'admin-rights'
  | 'standby'
  | 'same-database'
  | 'clock-skew'
  | 'encoding'
  | 'collation'
  | 'ctype'
  | 'timelines'
  | 'not-set-up'
  | 'role-missing'
  | 'login'
  | 'pooler'
  | 'pooled-sessions'
  | 'privilege'
  | 'limit'
  | 'wal-limit'
  | 'idle-slot-limit'
  | 'long-transaction'
  | 'publication-missing'
  | 'publication-operations'
  | 'table-not-published'
  | 'column-not-published'
  | 'replica-identity'
  | 'columns-differ'
  | 'row-security'
  | 'subscription-missing'
  | 'subscription-disabled'
  | 'subscription-publication'
  | 'other-subscription'
  | 'streaming-parallel'
  | 'two-phase'
  | 'binary'
  | 'origin'
  | 'read-only'
  | 'asynchronous-commit'
  | 'transactions-lost'
  | 'table-not-subscribed'
  | 'copying'
  | 'copy-stuck'
  | 'slot-missing'
  | 'slot-lost'
  | 'slot-losing'
  | 'slot-wal'
  | 'slot-shared'
  | 'slot-orphaned'
  | 'slot-not-kept'
  | 'standby-slots'
  | 'standby-settings'
  | 'standby-away'
  | 'two-primaries'
  | 'replica-ahead'
  | 'cannot-connect'
  | 'apply-failing'
  | 'apply-blocked'
  | 'behind'
  | 'rows-missed'
  | 'trigger'
  | 'log-writers'
  | 'log-not-ready'
  | 'table-writers'
  | 'login-superuser';

/** A repair that loses nothing which is not lost already; `subject` is the table, slot or role that it is about. */
export interface Fix {
  name:
    | 'enable-subscription'
    | 'stop-parallel'
    | 'one-phase'
    | 'send-text'
    | 'any-origin'
    | 'let-write'
    | 'known-by-key'
    | 'commit-locally'
    | 'watch-table'
    | 'ring-always'
    | 'grant'
    | 'refresh-publication'
    | 'drop-slot'
    | 'keep-slot'
    | 'copy-again'
    | 'renew-login'
    | 'complete-log';
  /** The server that it is done on. */
  server: string;
  subject?: string;
}

export interface Finding {
  check: Check;
  severity: Severity;
  server: string;
  found: string;
  expected: string;
  remedy: string;
  fix?: Fix;
}

const ORDER: Severity[] = ['error', 'warning', 'advice'];

/** The worst first; of the same severity in the order found, which is from cause to consequence. */
export const bySeverity = (findings: Finding[]): Finding[] =>
  findings.toSorted((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));

/** Advice is no fault. */
export const isFault = ({ severity }: Finding): boolean => severity !== 'advice';
