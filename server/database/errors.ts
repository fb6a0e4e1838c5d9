import { ClientError } from '../lib/errors.ts';

/** SQLSTATEs, by PostgreSQL's own condition names. */
const QUERY_CANCELED = '57014';
/** Characters that are none in PostgreSQL, or that the database's encoding does not have. */
const CHARACTERS = new Set(['22021', '22P05']);
/**
 * What a value can do wrong: a text that is no number, no date, no range or no label, one too long or out of range, one
 * that a check refuses. The statements are ours, and what else class 22 has would be their fault.
 */
const VALUES = /^(220(0[01378MN9]|26)|22P0[23]|23514)$/;
/**
 * The primary computes with what is written, in the table's own checks, generated columns and triggers: what those cannot
 * compute is the value's fault, as is what is too long for an index.
 */
const COMPUTED = /^(22...|54000)$/;

/** Others were in the way: a deadlock, a row that was written meanwhile, a lock that was not to be had. */
const CONTENDED = new Set(['40001', '40P01', '55P03']);

/** SQLSTATE classes and driver codes that mean: the server can't be reached, or not for work. */
const UNAVAILABLE =
  /^(08|53|57P|28)|^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|CONNECT_TIMEOUT|CONNECTION_\w+)$/;
/** A statement that is none is so at a place in its text. hstore, tsvector, ltree and others have a syntax of their own. */
const SYNTAX_ERROR = '42601';
/** Of PL/pgSQL's source: `raise exception` and `assert`, in a trigger of the application's, whatever code they give. */
const RAISED = new Set(['exec_stmt_raise', 'exec_stmt_assert']);
/** Of dblink's source, and of postgres_fdw's: what a server says that a trigger has asked, with its code. */
const RELAYED = new Set(['dblink_res_error', 'pgfdw_report_error']);
/** A server says this of itself as FATAL: as an error it says so of another one, or of nothing that is its own. */
const OF_ANOTHER = /^(08(?!P01)...|57P..|28...)$/;
const READ_ONLY = '25006';
/** It answers, and refuses work: it lacks something, lets the login in no more, or takes no writes. */
const REFUSING = /^(53...|28...|25006)$/;
/** In words for clients. */
const REFUSALS: Record<string, string> = {
  [READ_ONLY]: 'takes no writes',
  '53100': 'has no room left on its disk',
  '53200': 'has no memory left',
  '53300': 'takes no more connections',
};

/** Of PostgreSQL's source: what says that a row is none that the table's policies let be written. */
const POLICY = 'ExecWithCheckOptions';
const INSUFFICIENT_PRIVILEGE = '42501';

export const POLICIES_REFUSE = "The table's own policies do not let this row be written.";

const isOfPolicy = (error: unknown) =>
  codeOf(error) === INSUFFICIENT_PRIVILEGE && (error as { routine?: string }).routine === POLICY;

/** True where the server has taken the statement, and refuses one of its values. */
export const isOfValue = (error: unknown): boolean =>
  VALUES.test(codeOf(error)) || CHARACTERS.has(codeOf(error)) || isOfOwnSyntax(error);

/** True also where it may be the table that cannot compute with one of its values. */
export const mayBeOfValue = (error: unknown): boolean => isOfValue(error) || COMPUTED.test(codeOf(error));

export type Side = 'PRIMARY' | 'REPLICA';

interface Placed {
  position?: string;
  internal_position?: string;
}

function isOfOwnSyntax(error: unknown): boolean {
  const { position, internal_position: inner } = (error ?? {}) as Placed;
  return codeOf(error) === SYNTAX_ERROR && position === undefined && inner === undefined;
}

interface Reported {
  /** What stands between, as a pooler does, has none. */
  routine?: string;
  severity?: string;
}

const isRaised = (error: unknown) => RAISED.has((error as Reported | undefined)?.routine ?? '');

/** True for what the application's triggers say, or another server that they have asked: this one is as well as before. */
function isOfApplication(error: unknown): boolean {
  const { routine, severity } = (error ?? {}) as Reported;
  if (routine === undefined) return false;
  return isRaised(error) || RELAYED.has(routine) || (severity === 'ERROR' && OF_ANOTHER.test(codeOf(error)));
}

const codeOf = (error: unknown) => (error as { code?: string } | undefined)?.code ?? '';

/** A session that did not begin, as its login may not take on its role. */
const isWithoutRole = (error: unknown) =>
  codeOf(error) === INSUFFICIENT_PRIVILEGE && (error as { severity?: string }).severity === 'FATAL';

/** True where another server might answer, or the same one later. */
export function isUnavailable(error: unknown): boolean {
  return (UNAVAILABLE.test(codeOf(error)) && !isOfApplication(error)) || isWithoutRole(error);
}

const isReadOnly = (error: unknown) => codeOf(error) === READ_ONLY && !isOfApplication(error);

/** True where the server answers, and does nothing of the kind before somebody helps it, or the rush is over. */
export const isRefusal = (error: unknown): boolean =>
  (REFUSING.test(codeOf(error)) && !isOfApplication(error)) || isWithoutRole(error);

/** What a client is told of a database's error; whatever has no telling is returned as it is, and masked further up. */
export function forClient(error: unknown, side: Side): unknown {
  const code = codeOf(error);
  if (CONTENDED.has(code)) return inTheWay(side, error);
  if (code === QUERY_CANCELED && !isRaised(error)) {
    return new ClientError(
      'TIMEOUT',
      'The database took too long and the statement was cancelled: ask for less, or try again.',
      { cause: error },
    );
  }
  if (CHARACTERS.has(code)) {
    return new ClientError('BAD_USER_INPUT', 'A text holds a character that PostgreSQL cannot store.', {
      cause: error,
    });
  }
  if (isOfValue(error)) return badValue(error);
  if (isOfPolicy(error)) return new ClientError('FORBIDDEN', POLICIES_REFUSE, { cause: error });
  if (isUnavailable(error) || (side === 'PRIMARY' && isReadOnly(error))) return unavailable(side, error);
  // Its own words may be for anybody, or for nobody outside.
  if (isRaised(error))
    return new ClientError('BAD_USER_INPUT', "A rule of the database's own refuses this.", { cause: error });
  return side === 'PRIMARY' && COMPUTED.test(code) ? badValue(error) : error;
}

/** `fields` are those that a check of the table's is about. */
export function badValue(cause: unknown, fields: readonly string[] = []): ClientError {
  const [field] = fields;
  const message =
    field === undefined
      ? 'A value is not among those that the table takes.'
      : fields.length === 1
        ? `This ${field} is not among the values that the table takes.`
        : `The table does not take this ${fields.join(' with this ')}.`;
  return new ClientError('BAD_USER_INPUT', message, { field, cause });
}

/** What a value must be that PostgreSQL refuses by this code; for all others it must be one of its type at all. */
const WITHIN: Record<string, string> = {
  '22001': 'fit into',
  '22003': 'be within the range of',
  '22008': 'be within the range of',
};

/** So many characters of a value are told. */
const TOLD = 50;

/** The value of this field is refused by its type; null: clients do not know that. */
export function refusedValue(cause: Error, field: string, text: string, type: string | null): ClientError {
  if (type === null) return badValue(cause, [field]);
  const what = WITHIN[codeOf(cause)] ?? 'be as PostgreSQL writes a value of';
  const message = `${field} must ${what} its type ${type}, got: ${text.slice(0, TOLD)}`;
  return new ClientError('BAD_USER_INPUT', message, { field, cause });
}

/** Whether the server has found it or a trigger says so: the same may do the next time. */
function inTheWay(side: Side, cause: unknown): ClientError {
  if (side === 'REPLICA') return unavailable(side, cause);
  return new ClientError('CONFLICT', 'Another write was in the way, and nothing is written: try again.', { cause });
}

function unavailable(side: Side, cause: unknown): ClientError {
  if (side === 'REPLICA')
    return new ClientError('REPLICA_UNAVAILABLE', 'No replica can answer now: try again soon.', { cause });
  const message = `The primary ${failingOf(cause)}, so nothing can be written now: try again soon.`;
  return new ClientError('PRIMARY_UNAVAILABLE', message, { cause });
}

const failingOf = (error: unknown): string =>
  REFUSALS[codeOf(error)] ?? (isRefusal(error) ? 'refuses to work for this server' : 'cannot be reached');
