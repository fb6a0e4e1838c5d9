/** PostgreSQL's settings by name, as pg_settings shows them. */
export type SessionSettings = Record<string, string>;

interface SessionOptions {
  role?: string;
  statementTimeoutMs?: number;
  readOnly?: boolean;
}

/** synchronous_commit on: a bookmark is a flushed position, so a commit must be flushed before it is answered. */
export function sessionSettings(options: SessionOptions): SessionSettings {
  return {
    TimeZone: 'UTC',
    DateStyle: 'ISO, MDY',
    ...(options.role === 'readback_writer' && { synchronous_commit: 'on' }),
    ...(options.readOnly && { default_transaction_read_only: 'on' }),
    ...(options.statementTimeoutMs !== undefined && { statement_timeout: String(options.statementTimeoutMs) }),
  };
}
