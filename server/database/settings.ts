/** PostgreSQL's settings by name, as pg_settings shows them. */
export type SessionSettings = Record<string, string>;

interface SessionOptions {
  role?: string;
  statementTimeoutMs?: number;
  readOnly?: boolean;
}

/**
 * What values look like as text, and what names and texts in statements mean: a database or a login may say otherwise,
 * for other programs. With bytea_output = escape, say, a key of 32 bytes would be read as another one.
 */
const TEXTS = {
  TimeZone: 'UTC',
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  xmlbinary: 'base64',
  xmloption: 'content',
  lc_monetary: 'C',
  lc_numeric: 'C',
  lc_time: 'C',
  array_nulls: 'on',
  quote_all_identifiers: 'off',
  standard_conforming_strings: 'on',
  transform_null_equals: 'off',
  search_path: 'public',
  default_transaction_isolation: 'read committed',
};

/**
 * synchronous_commit on: a bookmark is a flushed position, so a commit must be flushed before it is answered.
 * row_security off: a read which policies would leave rows out of fails, and says so.
 */
export function sessionSettings(options: SessionOptions): SessionSettings {
  return {
    ...TEXTS,
    ...(options.role === 'readback_writer' && { synchronous_commit: 'on' }),
    ...(options.readOnly && { row_security: 'off' }),
    default_transaction_read_only: options.readOnly ? 'on' : 'off',
    ...(options.statementTimeoutMs !== undefined && { statement_timeout: String(options.statementTimeoutMs) }),
  };
}
