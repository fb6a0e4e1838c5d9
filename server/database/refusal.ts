import { placeOf } from './named.ts';

/** Why a server did not do what it was asked, and what its operator can do about it. */
export interface Refusal {
  /** The server's own words, or the system's. */
  reason: string;
  remedy: string;
}

interface DatabaseError {
  name?: string;
  code?: unknown;
  message?: string;
  detail?: string;
  hint?: string;
}

const TLS_WANTED = 'The server wants TLS: add sslmode=require to the URL (DB_SSLMODE=require where there is none), or ';
const VERIFIED = 'sslmode=verify-full with an sslrootcert, which makes certain that it is that server.';
const REACH = 'Check that PostgreSQL runs there, and that it is reached under this address from here.';
const AGAIN = 'Try again soon.';
const LOGIN = "Check the user and the password in the URL, and the server's pg_hba.conf.";

/** By what is said, where the code alone says too little. Locales that translate it get the remedy of the code. */
const BY_MESSAGE: [RegExp, string][] = [
  [/no encryption|SSL off|connection is insecure|(SSL|TLS)( connection)? is required|sslmode/i, TLS_WANTED + VERIFIED],
  [
    /no pg_hba\.conf entry/,
    'pg_hba.conf of the server lets this user in from here under none of its lines: add one, or connect as somebody else. ' +
      'It may be that it wants TLS: sslmode=require.',
  ],
  [
    /before secure TLS|wrong version number|packet length too long/,
    'It seems that no TLS is spoken there: sslmode=disable in the URL goes without, where the network may be trusted.',
  ],
  [
    /unrecognized configuration parameter|invalid command-line argument/,
    'Check the options in the URL: -c NAME=VALUE, in which a space is written %20, as a + is a plus.',
  ],
  [/startup parameter/, 'A connection pooler seems to stand there: name PostgreSQL itself in the URL.'],
];

/** The first that fits. Codes are SQLSTATEs, or of Node. */
const BY_CODE: [RegExp, string][] = [
  [/^28/, LOGIN],
  [/^3D000$/, 'Create that database there, or name another one in the URL.'],
  [
    /^42501$/,
    "Give the login of the URL that right, or name a superuser's in PRIMARY_ADMIN_URL or REPLICA_ADMIN_URLS: what looks after the databases uses those.",
  ],
  [
    /^(42P01|42883|42703|42704|3F000)$/,
    'It seems that set-up has not run there, or not to its end: run readback migrate.',
  ],
  [/^(55P03|40P01|40001|55006)$/, 'Somebody else holds what is needed: try again when they have ended.'],
  [/^57014$/, "It took longer than that login's statement_timeout, or somebody cancelled it. Try again."],
  [/^57P03$/, 'It is starting, stopping or recovering. Try again soon.'],
  [/^57P/, `Somebody has stopped it, or ended this connection. ${AGAIN}`],
  [/^53300$/, 'Its connections are all taken: end some, or raise max_connections.'],
  [/^53100$/, 'Make room on its disk.'],
  [/^(53|54)/, 'It is at a limit of its own: its log says more.'],
  [/^25006$/, 'It takes no writes: it is a standby, or default_transaction_read_only is on there.'],
  [/^2BP01$/, 'Something depends on it: drop or change that first.'],
  [/^(P0001|23\d\d\d)$/, 'A trigger, a function or a constraint there refuses it.'],
  [/^(ENOTFOUND|EAI_AGAIN)$/, "No such host is known here: check its name in the URL, and this machine's DNS."],
  [/^(08|E[A-Z]+$|CONNECT)/, REACH],
  [
    /CERT|SIGNATURE|ISSUER|^ERR_(TLS|SSL)/,
    'The certificate is not one that the URL takes: sslrootcert names the authority, and sslmode=verify-full wants the very host name.',
  ],
];

/** What the driver and OpenSSL have codes for, and no words. */
const IN_WORDS: Record<string, string> = {
  CONNECT_TIMEOUT: 'no answer of PostgreSQL came in time',
  CONNECTION_CLOSED: 'the connection was closed',
};

const wordsOf = (code: string, message: string | undefined): string =>
  IN_WORDS[code] ?? /SSL routines:[^:]*:([^:]+)/.exec(message ?? '')?.[1] ?? (message || code);

/** Undefined for what is no refusal, but a fault of the program. */
export function refusalOf(error: unknown): Refusal | undefined {
  const { name, code, message, detail, hint } = (error ?? {}) as DatabaseError;
  if (typeof code !== 'string' || !isOfDatabase(error, name)) return undefined;
  const remedy =
    BY_MESSAGE.find(([pattern]) => pattern.test(message ?? ''))?.[1] ??
    BY_CODE.find(([pattern]) => pattern.test(code))?.[1];
  if (remedy === undefined) return undefined;
  // Several addresses that were tried leave an error without a message.
  const said = [wordsOf(code, message), detail, hint].filter((part) => part !== undefined && part !== '');
  return { reason: said.map((part) => part!.replace(/\s+/g, ' ').replace(/\.$/, '')).join('. '), remedy };
}

/** Files and ports have errors with codes, too. */
const isOfDatabase = (error: unknown, name: string | undefined) =>
  name === 'PostgresError' || placeOf(error) !== undefined;

/** In a line: where, what was refused, and the remedy. */
export function describeRefusal(error: unknown): string | undefined {
  const refusal = refusalOf(error);
  return refusal && `${placeOf(error) ?? 'A database'}: ${refusal.reason}. ${refusal.remedy}`;
}
