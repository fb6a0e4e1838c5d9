import { z } from 'zod';
import { databaseUrlFault } from '../lib/database-url.ts';

/**
 * Every variable of the environment: what it takes, its default and its description. `npm run codegen` makes .env.example
 * of them, section by section, with the line breaks that the descriptions have here.
 */

const port = (fallback: number) => whole(fallback, 0, 65535);

/** As browsers send it. */
const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@]+$/i;
const ORIGINS = 'must be own, *, or a list of origins such as https://app.example.com, comma-separated, without a path';

/** Of a host, without its port. */
const HOST_NAME = /^(?:[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])$/i;

const listOf = (text: string) => text.split(',').map((part) => part.trim());

/** An address, or a network of them, in either family. */
const ADDRESS = /^[0-9a-f.:]+(\/\d{1,3})?$/i;

const limit = (most = 1_000_000) => wholeText(0, most).optional();

function whole(fallback: number, least: number, most: number) {
  return wholeText(least, most).default(fallback);
}

function wholeText(least: number, most: number) {
  const message = `must be a whole number from ${least} to ${most}`;
  return z
    .string()
    .regex(/^\d+$/, message)
    .transform(Number)
    .refine((value) => value >= least && value <= most, message);
}

const postgresUrl = z.string().superRefine((text, context) => {
  const fault = databaseUrlFault(text);
  if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
});

const databaseHost = z.string().regex(/^[^\s@/?#%]+$/, 'must be a host name or an address');

const url = postgresUrl.optional();
const urlList = z.string().transform(listOf).pipe(z.array(postgresUrl).min(1)).optional();

const listening = z
  .object({
    PORT: port(3000).describe('TCP port for HTTP and websockets, 0 to 65535; 0 takes a free one. Left out: 3000.'),
    HOST: z
      .string()
      .min(1)
      .default('127.0.0.1')
      .describe('Address to listen on. Left out: this machine alone can connect. 0.0.0.0 lets others in.'),
    CORS_ORIGINS: z
      .string()
      .refine((text) => text === '*' || text === 'own' || listOf(text).every((origin) => ORIGIN.test(origin)), ORIGINS)
      .optional().describe(`
      Origins whose pages may call the server from a browser, over HTTP and websockets, beside the server's own pages:
      comma-separated (https://app.example.com), own for none, * for any. Browsers send no cookie across origins either way:
      such pages carry the bookmark header themselves. Left out: own in open mode, * in protected mode.`),
    ALLOWED_HOSTS: z
      .string()
      .transform(listOf)
      .pipe(
        z.array(z.string().regex(HOST_NAME, 'must list host names such as dev.example.com, comma-separated, no ports')),
      )
      .optional().describe(`
      Names under which the server answers, comma-separated, without ports (dev.example.com), beside localhost and the
      addresses of the loopback. /health/live and /health/ready answer under any name. Left out: in open mode no others, in
      protected mode any.`),
    HSTS_INCLUDE_SUBDOMAINS: z.enum(['on', 'off']).default('off').describe(`
      Whether browsers that come over TLS are told to use nothing else for all subdomains, too: on or off. What came over TLS
      is what a proxy of TRUST_PROXY says in X-Forwarded-Proto. Left out: off, they are told so for this name only.`),
    LOG_LEVEL: z
      .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
      .default('warn')
      .describe(
        'How much is logged, as JSON lines on stderr: fatal, error, warn, info, debug, trace or silent. Left out: warn.',
      ),
    METRICS_PORT: wholeText(0, 65535).optional().describe(`
      Port of a listener of its own for /metrics, 0 to 65535; 0 takes a free one. The metrics are then there, and not on PORT.
      Left out: /metrics is on PORT in open mode, and nowhere in protected mode.`),
    METRICS_HOST: z.string().min(1).default('127.0.0.1').describe(`
      Address of the listener of METRICS_PORT. Whoever reaches it reads the metrics, and /health in full, without signing in.
      Left out: this machine alone.`),
    OTEL_EXPORTER_OTLP_ENDPOINT: z
      .url({ protocol: /^https?$/, error: 'must be a URL such as http://127.0.0.1:4318' })
      .optional().describe(`
      Where traces are sent, as OTLP over HTTP: the collector's address, such as http://127.0.0.1:4318, to which /v1/traces is
      added. Left out: no traces are made, and nothing of OpenTelemetry is loaded.`),
    BODY_LIMIT_BYTES: whole(1_048_576, 1024, 104_857_600).describe(
      'Largest request body and largest websocket message that is taken, in bytes. Left out: 1 MiB.',
    ),
    SHUTDOWN_GRACE_MS: whole(10_000, 100, 600_000).describe(
      'Time that a stop may take to end requests and close connections, in milliseconds. Left out: 10 seconds.',
    ),
    SHUTDOWN_DRAIN_MS: whole(0, 0, 600_000).describe(`
      Part of SHUTDOWN_GRACE_MS in which a server that was told to stop says so at /health/ready and goes on taking requests,
      in milliseconds: set it to what the load balancer needs to notice. Left out: 0, it takes nothing new at once.`),
  })
  .meta({ title: 'Where the server listens' });

const urls = z
  .object({
    PRIMARY_URL: url.describe(`
      The primary: postgres://user:password@host:5432/database. Several hosts, as host-1:5432,host-2:5432: the one that takes
      writes, see docs/failover.md. Left out: WRITE_DB_HOST, if that is set.`),
    REPLICA_URLS: urlList.describe(
      'The replicas, comma-separated. They are called replica-1, replica-2, … in this order. Left out: READ_DB_HOST.',
    ),
    PRIMARY_ADMIN_URL: url.describe(
      'The login on the primary that sets it up, with the rights of docs/setup.md. Left out: the login of PRIMARY_URL.',
    ),
    REPLICA_ADMIN_URLS: urlList.describe(
      'The logins that set the replicas up, comma-separated, as many as REPLICA_URLS. Left out: the logins of REPLICA_URLS.',
    ),
    PRIMARY_REPLICATION_URL: url.describe(`
      The primary's address as the replicas see it, where it differs (containers, private networks). With a user in it,
      the replicas stream as that user. Left out: the host, port and database of the primary's set-up URL, and for each
      replica a login of its own, which set-up makes.`),
    SUBSCRIPTIONS: z.enum(['made', 'awaited']).default('made').describe(`
      Who makes the replicas' subscriptions: made (set-up does), or awaited: an operator does, and set-up waits for it and
      lets the user of PRIMARY_REPLICATION_URL copy. Left out: made.`),
    REPLICA_SYNCHRONOUS_COMMIT: z.enum(['local', 'off']).default('local').describe(`
      When a replica's commits reach its disk: local, before they are confirmed to the primary, or off, some time later. With
      off a replica applies more transactions a second, and one that crashes may lose what it has confirmed, which the
      primary does not send again: docs/durability.md. readback migrate sets it. Left out: local.`),
    POOLER_CHECK: z.enum(['on', 'off']).default('on').describe(`
      Whether addresses that must lead to PostgreSQL itself are refused where they lead to a pooler that hands out another
      session for each transaction. Off is for a proxy that is taken for one, and is none. Left out: on.`),
    PRIMARY_POOLED_URL: url.describe(`
      The pooler's address for writes on the primary, with a login of its own, which set-up makes. docs/pgbouncer.md tells
      what may be pooled. Left out: writes connect to PRIMARY_URL.`),
    PRIMARY_POOLED_READS_URL: url.describe(
      "The pooler's address for reads that fall back to the primary, with another login. Left out: they connect to PRIMARY_URL.",
    ),
    REPLICA_POOLED_URLS: urlList.describe(`
      The poolers' addresses for reads of the replicas, comma-separated, as many as REPLICA_URLS, with a login of their own
      on each replica. Left out: reads connect to REPLICA_URLS.`),
  })
  .meta({
    title: 'Databases, as URLs',
    description: `
      None of the databases set: Readback starts two PostgreSQL servers of its own. Only one side set: an error.
      Parameters (?sslmode=require&…) and what a password is written like: docs/connection-strings.md.
      Each of the URLs, and DB_PASSWORD, may be read from a file instead: PRIMARY_URL_FILE=/run/secrets/primary-url, and so on.`,
  });

const parts = z
  .object({
    WRITE_DB_HOST: databaseHost.optional().describe('Host of the primary. Left out: PRIMARY_URL says where it is.'),
    WRITE_DB_PORT: port(5432).describe('Port of the primary. Left out: 5432.'),
    READ_DB_HOST: databaseHost.optional().describe('Host of the replica. Left out: REPLICA_URLS say where they are.'),
    READ_DB_PORT: port(5432).describe('Port of the replica. Left out: 5432.'),
    DB_NAME: z.string().min(1).default('postgres').describe('Database name on both. Left out: postgres.'),
    DB_USER: z.string().min(1).default('postgres').describe('User on both. Left out: postgres.'),
    DB_PASSWORD: z
      .string()
      .default('')
      .describe(
        'Password on both. With a # in it in quotes ("pa#ss"): what follows would be a comment. Left out: none.',
      ),
    DB_SSLMODE: z
      .enum(['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'])
      .optional()
      .describe(
        "TLS to both, as libpq's sslmode: disable, allow, prefer, require, verify-ca or verify-full. Left out: prefer.",
      ),
    DB_SSLROOTCERT: z.string().min(1).optional().describe(`
      File of the authority whose certificates both must have, with verify-ca, verify-full or require; system: of one that
      Node knows. Left out: what DB_SSLMODE takes without one.`),
  })
  .meta({
    title: 'Databases, in parts',
    description: 'A primary and one replica that share a database name and a login. The URLs above win over these.',
  });

const newReplica = z
  .object({
    NEW_REPLICA_URL: url.describe('The new replica, as in REPLICA_URLS. Left out: it is given on the command line.'),
    NEW_REPLICA_ADMIN_URL: url.describe(
      'The login that sets the new replica up. Left out: the login of NEW_REPLICA_URL.',
    ),
  })
  .meta({
    title: 'A replica that is to be added',
    description:
      'For readback replica add: on the command line others on the machine could see the password. Each may be read from a file.',
  });

const embedded = z
  .object({
    READBACK_DIR: z
      .string()
      .min(1)
      .default('.readback')
      .describe('Folder for data, passwords and logs of the two servers. Left out: .readback in the current folder.'),
    EMBEDDED_PRIMARY_PORT: port(6000).describe(
      'Port of the embedded primary on 127.0.0.1; 0 takes a free one. Left out: 6000.',
    ),
    EMBEDDED_REPLICA_PORT: port(6001).describe(
      'Port of the embedded replica on 127.0.0.1; 0 takes a free one. Left out: 6001.',
    ),
  })
  .meta({ title: 'The embedded pair', description: 'Used where no databases are set.' });

const connections = z
  .object({
    PRIMARY_POOL_SIZE: whole(10, 1, 500).describe('Connections for writes on the primary, at most. Left out: 10.'),
    REPLICA_POOL_SIZE: whole(10, 1, 500).describe('Connections for reads on each replica, at most. Left out: 10.'),
    DB_CONNECT_TIMEOUT_MS: whole(5000, 100, 60_000).describe(
      'Time to connect to a database, in milliseconds. Left out: 5 seconds.',
    ),
    STATEMENT_TIMEOUT_MS: whole(10_000, 100, 600_000).describe(`
      Time that one SQL statement may take, in milliseconds; then it is cancelled, and the client gets TIMEOUT. Left out:
      10 seconds.`),
    INITIAL_COPY_TIMEOUT_MS: whole(3_600_000, 1000, 86_400_000).describe(
      'Time that set-up waits for a replica to copy the tables, in milliseconds. Left out: 1 hour.',
    ),
  })
  .meta({ title: 'Connections' });

const consistency = z
  .object({
    BOOKMARK_WAIT_MS: whole(1000, 0, 60_000).describe(`
      Time that a read waits for a replica to reach its bookmark, and that confirm: REPLICATED waits, in milliseconds.
      Left out: 1 second.`),
    BOOKMARK_STALL_MS: whole(10, 1, 10_000).describe(`
      A wait that has lasted this long is helped along by a heartbeat, written on the primary, in milliseconds; written
      again each time it has lasted that much longer. Left out: 10 ms.`),
    REPLICA_MAX_LAG_MS: whole(5000, 10, 3_600_000).describe(`
      A replica further behind than this is passed over as long as anyone else can answer, in milliseconds. Left out: 5
      seconds.`),
    REPLICA_LOOK_TIMEOUT_MS: whole(1000, 50, 60_000).describe(`
      A replica that does not tell its position within this time counts as down, in milliseconds. Left out: 1 second. One that
      is silent for as long as DB_CONNECT_TIMEOUT_MS gets new connections.`),
    MONITOR_INTERVAL_MS: whole(500, 50, 60_000).describe(
      'Pause between two looks at all servers, in milliseconds. Left out: half a second.',
    ),
    PRIMARY_READS_MAX: whole(10, 0, 10_000).describe(`
      Requests that may read from the primary at once, because no replica can answer them; further ones are refused with
      REPLICA_UNAVAILABLE. 0: the primary answers no query. Left out: 10.`),
    SLOT_WAL_WARN_BYTES: whole(1_073_741_824, 1_048_576, 2 ** 50).describe(`
      WAL that the primary may keep for a replica before the log, /health and readback doctor warn of it, in bytes. Left
      out: 1 GiB.`),
    // Of less, the primary refuses to give a slot up: one of a replica that keeps up may hold as much for a moment.
    SLOT_WAL_MAX_BYTES: whole(10_737_418_240, 67_108_864, 2 ** 50).describe(`
      WAL that the primary may keep for a replica before SLOT_ACTION is taken, in bytes: what its disk has room for. At least
      64 MiB. Left out: 10 GiB.`),
    SLOT_ACTION: z.enum(['warn', 'drop']).default('warn').describe(`
      warn: say so, and leave it to people. drop: give up the slot, so that the primary lives; the replica must be copied
      again, which readback doctor --fix does. Left out: warn.`),
    SLOT_WATCH_MS: whole(5000, 100, 3_600_000).describe(
      'Pause between two looks at the slots, in milliseconds. Left out: 5 seconds.',
    ),
    LISTEN_HEARTBEAT_MS: whole(5000, 100, 60_000).describe(`
      The connection that listens for a replica's notifications is asked for a sign of life this often, in milliseconds.
      Left out: 5 seconds.`),
  })
  .meta({ title: 'Consistency' });

const changeFeed = z
  .object({
    CHANGE_LOG_RETENTION_HOURS: whole(24, 1, 87_600).describe(
      "Changes stay in a replica's change log for this many hours, and cursors are good for as long. Left out: one day.",
    ),
    CHANGE_LOG_MAX_BYTES: whole(1_073_741_824, 1_048_576, 2 ** 50).describe(`
      Size that each replica's change log may grow to, in bytes; past it the oldest changes go, however young they are.
      Left out: 1 GiB.`),
    CHANGE_LOG_PRUNE_MS: whole(60_000, 100, 86_400_000).describe(
      'Pause between two looks for changes to remove from the logs, in milliseconds. Left out: 1 minute.',
    ),
    FEED_WINDOW_CHANGES: whole(5000, 100, 1_000_000).describe(`
      Latest changes that the server keeps in memory for all subscribers together; who is further behind is served from
      the log. Left out: 5000.`),
    WS_BUFFER_BYTES: whole(1_048_576, 1024, 2 ** 28).describe(`
      A websocket with more than this waiting to be sent is full, in bytes: it gets no more until that has left. A client that
      catches up has no more than this sent and not read, and less while it reads slowly. With twice as much waiting, nothing
      is read from the websocket either. Left out: 1 MiB.`),
    // A client has half of it at least: what takes less than the pause between two tries is no use.
    SNAPSHOT_MAX_MS: whole(3_600_000, 1000, 604_800_000).describe(`
      Time that a snapshot's transaction stays open on a replica at most, in milliseconds; it holds back vacuum there. Two are
      open at once on each replica. Clients share them, and each has half of the time at least; then it gets TIMEOUT. Left out:
      1 hour.`),
    WS_SLOW_CLIENT_TIMEOUT_MS: whole(30_000, 100, 3_600_000).describe(
      'A websocket that stays full for this long is closed with code 4411, in milliseconds. Left out: 30 seconds.',
    ),
  })
  .meta({ title: 'The change feed' });

const access = z
  .object({
    ACCESS: z.enum(['open', 'protected']).optional().describe(`
      open: everybody may read and write everything; only while HOST is this machine's own. protected: people sign in, and
      SECURITY.md says who may do what. Left out: open with the embedded pair, protected where databases are set.`),
    INTROSPECTION: z.enum(['on', 'off']).optional().describe(`
      Whether clients may ask for the schema, and browsers see Apollo Sandbox: on or off. Off: administrators alone may ask,
      and messages have no name of the schema that the client has not sent. Left out: on in open mode, off in protected mode.`),
    TRUSTED_DOCUMENTS: z.string().min(1).optional().describe(`
      A JSON file of the documents that alone are run, by their hashes, as GraphQL Code Generator's persisted documents have
      them. Left out: clients send what they like, within the limits below.`),
    TRUST_PROXY: z
      .string()
      .transform(listOf)
      .pipe(z.array(z.string().regex(ADDRESS, 'must list addresses or networks such as 10.0.0.0/8, comma-separated')))
      .optional().describe(`
      Proxies whose X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto are believed: addresses and networks (10.0.0.0/8),
      comma-separated. CONNECTIONS_PER_ADDRESS_MAX does not hold for them. Left out: none, and a request comes from whoever
      connects.`),
    ACCESS_TOKEN_TTL_MS: whole(900_000, 1000, 86_400_000).describe(
      'Time that an access token is good, in milliseconds; it can be renewed meanwhile, once. Left out: 15 minutes.',
    ),
    ACCESS_SESSION_HOURS: whole(720, 1, 87_600).describe(
      'Time for which tokens can be renewed without signing in again, in hours. Left out: 30 days.',
    ),
    ACCESS_KEY_ROTATION_HOURS: whole(168, 1, 87_600).describe(
      'Time that a key signs tokens before another one takes over, in hours. Left out: a week.',
    ),
    SIGN_IN_FAILURES_MAX: whole(10, 1, 1_000_000).describe(`
      Wrong sign-ins to one account from one address in SIGN_IN_WINDOW_MS; then it has to wait there. Of IPv6, here and below,
      an address stands for its /64. Left out: 10.`),
    SIGN_IN_FAILURES_PER_ADDRESS_MAX: whole(100, 1, 1_000_000).describe(`
      Wrong sign-ins from one address in SIGN_IN_WINDOW_MS, to all accounts together. Past them one a second is tried; accounts
      that somebody has signed in to from there before are not among them. Left out: 100.`),
    SIGN_UPS_PER_ADDRESS_MAX: whole(100, 1, 1_000_000).describe(`
      Sign-ups from one address in SIGN_IN_WINDOW_MS, with other questions that tell whether a username or email is taken.
      Left out: 100.`),
    SIGN_IN_WINDOW_MS: whole(900_000, 1000, 86_400_000).describe(
      'Time in which wrong sign-ins and sign-ups are counted, in milliseconds. Left out: 15 minutes.',
    ),
  })
  .meta({ title: 'Access' });

const limits = z
  .object({
    QUERY_CHARACTERS_MAX: whole(50_000, 1000, 100_000_000).describe(
      'Characters of a document: values that are long go into variables. Left out: 50000.',
    ),
    QUERY_TOKENS_MAX: whole(2000, 100, 1_000_000).describe('Tokens of a document. Left out: 2000.'),
    QUERY_SELECTIONS_MAX: whole(5000, 100, 1_000_000).describe(
      'Selections of a document, fields and fragments, as often as fragments repeat them. Left out: 5000.',
    ),
    QUERY_CHARACTERS_ANONYMOUS_MAX: whole(20_000, 1000, 100_000_000).describe(
      'Characters of a document of somebody who is not signed in, in protected mode. Left out: 20000.',
    ),
    QUERY_TOKENS_ANONYMOUS_MAX: whole(1000, 100, 1_000_000).describe(
      'Tokens of a document of somebody who is not signed in, in protected mode. Left out: 1000.',
    ),
    QUERY_SELECTIONS_ANONYMOUS_MAX: whole(1000, 100, 1_000_000).describe(
      'Selections of a document of somebody who is not signed in, in protected mode. Left out: 1000.',
    ),
    QUERY_DEPTH_MAX: whole(12, 1, 1000).describe('Fields nested in each other. Left out: 12.'),
    QUERY_ALIASES_MAX: whole(100, 0, 100_000).describe(
      'Aliases in an operation, as often as fragments repeat them. Left out: 100.',
    ),
    QUERY_COST_MAX: whole(50_000, 10, 1_000_000_000).describe(`
      Rows that an operation may read at most, pages in pages multiplied, by the sizes that resolvers get: defaults of
      variables and arguments included. A totalCount of a table is a row for each 20 that the table has, about, and a fifth of
      this at most. Left out: 50000, which two levels of the largest pages stay within.`),
    ANSWER_CHARACTERS_MAX: whole(20_000_000, 1000, 400_000_000).describe(`
      Characters of a query's answer, about, and of one event of a subscription: a longer one comes without its rows, with an
      error for each. Nobody else is served while a long one is made. Left out: 20 million.`),
    OPERATION_TIMEOUT_MS: whole(30_000, 100, 3_600_000).describe(`
      Time that an operation may take, in milliseconds; then what it reads is cancelled, and a write that the primary has not
      answered fails: what became of it is not known. Left out: 30 seconds.`),
    WS_OPERATIONS_MAX: whole(100, 1, 1_000_000).describe(
      'Operations at once on one websocket, subscriptions included. Left out: 100.',
    ),
    SUBSCRIPTION_BYTES_MAX: whole(65_536, 1024, 104_857_600).describe(`
      Document and variables of one subscription, which are held as long as it lasts, in bytes. The id that a client gives an
      operation has 128 bytes at most, or the websocket is closed with 4400. Left out: 64 KiB.`),
    REQUESTS_PER_SECOND_MAX: limit().describe(`
      Requests per second of one user, or of one address where nobody is signed in; 0: no limit. Left out: 100 in protected
      mode, no limit in open mode.`),
    COST_PER_SECOND_MAX: limit(1_000_000_000).describe(`
      Rows that operations of one user, or of one address where nobody is signed in, may read per second, measured as for
      QUERY_COST_MAX before they run; a document that is new costs some, too. Three seconds of it are saved up. Who has asked
      for more gets RATE_LIMITED until that is paid back. With this limit users take turns, too: where it is tight, nobody has
      more than half of the connections for pages or counts, or more than two operations of over 1000 rows under way. 0: no
      limit, and no turns. Left out: 20000 in protected mode, no limit in open mode.`),
    SOCKETS_PER_ADDRESS_MAX: limit().describe(
      'Websockets at once from one address; 0: no limit. Left out: 200 in protected mode, no limit in open mode.',
    ),
    SUBSCRIPTIONS_PER_USER_MAX: limit().describe(
      'Subscriptions at once of one user; 0: no limit. Left out: 200 in protected mode, no limit in open mode.',
    ),
    SUBSCRIPTIONS_PER_ADDRESS_MAX: limit().describe(
      'Subscriptions at once from one address; 0: no limit. Left out: 1000 in protected mode, no limit in open mode.',
    ),
    SUBSCRIPTION_COST_PER_USER_MAX: limit(1_000_000_000).describe(`
      Rows that subscriptions of one user, all together, may read for one event, measured as for QUERY_COST_MAX. Events of over
      20 rows are paid for as COST_PER_SECOND_MAX says, apart from requests: they come late rather than not. 0: no limit. Left
      out: 20000 in protected mode, no limit in open mode.`),
    SUBSCRIPTION_COST_PER_ADDRESS_MAX: limit(1_000_000_000).describe(`
      Rows that subscriptions from one address, all together, may read for one event. 0: no limit. Left out: 100000 in protected
      mode, no limit in open mode.`),
    CONNECTIONS_PER_ADDRESS_MAX: limit().describe(`
      HTTP connections at once from one address, or one IPv6 network (/64); 0: no limit. One more takes the place of the one
      that has waited longest for its client; while the server is at work on all of them, it is refused with RATE_LIMITED.
      Left out: 200 in protected mode, no limit in open mode.`),
    CONNECTIONS_MAX: wholeText(1, 10_000_000).optional().describe(`
      Connections at once in all, with the same rule; websockets take three quarters of them at most. Left out: three quarters
      of the files that the process may have open (ulimit -n).`),
    HEADERS_TIMEOUT_MS: whole(10_000, 100, 3_600_000).describe(`
      Time that a client may take to send the headers of a request, in milliseconds; then it gets 408 and is disconnected.
      Less than REQUEST_TIMEOUT_MS. Left out: 10 seconds.`),
    REQUEST_TIMEOUT_MS: whole(30_000, 100, 3_600_000).describe(
      'Time that a client may take to send all of a request, in milliseconds. Left out: 30 seconds.',
    ),
    RESPONSE_TIMEOUT_MS: whole(120_000, 100, 3_600_000).describe(
      'Time that a client may take to read an answer, in milliseconds; then it is disconnected. Left out: 2 minutes.',
    ),
    KEEP_ALIVE_TIMEOUT_MS: whole(72_000, 100, 3_600_000).describe(`
      Time that a connection stays open between two requests, in milliseconds: longer than a load balancer in front of the
      server keeps its own. Left out: 72 seconds.`),
  })
  .meta({
    title: 'Limits',
    description: `
      What asks for too much gets QUERY_TOO_COMPLEX, what asks too often RATE_LIMITED, what takes too long TIMEOUT. They hold
      for GraphQL over HTTP and websockets, and for REST.

      The six of a document's size bound the time that it takes to be read and checked, in which nobody else is answered:
      about 10 ms for who is signed in, and half of that for who is not.`,
  });

const passwords = z
  .object({
    HASH_CONCURRENCY: whole(2, 1, 64).describe(
      'Passwords that are hashed at the same time; each takes 19 MiB and much of a processor core. Left out: 2.',
    ),
    HASH_QUEUE: whole(64, 0, 10_000).describe(`
      Passwords that may wait for their turn, which goes from user to user and from address to address; further ones of
      whoever has most of them waiting are refused with RATE_LIMITED. Left out: 64.`),
  })
  .meta({ title: 'Passwords' });

/** In the order of .env.example. */
export const SECTIONS = [
  listening,
  urls,
  parts,
  newReplica,
  embedded,
  connections,
  consistency,
  changeFeed,
  access,
  limits,
  passwords,
];

export const variables = z.object({
  ...listening.shape,
  ...urls.shape,
  ...parts.shape,
  ...newReplica.shape,
  ...embedded.shape,
  ...connections.shape,
  ...consistency.shape,
  ...changeFeed.shape,
  ...access.shape,
  ...limits.shape,
  ...passwords.shape,
});

export type Variables = z.output<typeof variables>;
