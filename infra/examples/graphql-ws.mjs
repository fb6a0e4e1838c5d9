/**
 * Follows tables over a websocket with graphql-ws: every change once, in order, across whatever breaks off in between.
 *
 *   node infra/examples/graphql-ws.mjs ws://127.0.0.1:3000/graphql users
 *
 * Needs Node 22 or a browser, and `npm install graphql graphql-ws`. Copy the file; select what you need in CHANGES.
 */
import { createClient } from 'graphql-ws';

export const CHANGES = /* GraphQL */ `
  subscription Changes($tables: [String!], $after: Cursor, $snapshot: Boolean!) {
    changes(tables: $tables, after: $after, snapshot: $snapshot) {
      __typename
      ... on Change {
        cursor
        operation
        table
        key
      }
      ... on UserChange {
        user {
          ...UserFields
        }
      }
      ... on PostChange {
        post {
          ...PostFields
        }
      }
      ... on SnapshotRow {
        cursor
        table
        key
        user {
          ...UserFields
        }
        post {
          ...PostFields
        }
      }
      ... on CaughtUp {
        cursor
        at
      }
    }
  }
  fragment UserFields on User {
    id
    username
    email
    firstName
    lastName
    isActive
    emailVerified
    createdAt
    updatedAt
  }
  fragment PostFields on Post {
    id
    title
    body
    publishedAt
    createdAt
    updatedAt
  }
`;

const PING_MS = 10_000;
const PONG_TIMEOUT_MS = 5_000;
const LONGEST_PAUSE_MS = 30_000;

/** No cursor helps here: begin again, with a snapshot. */
const EXPIRED = new Set(['CURSOR_EXPIRED', 'BAD_CURSOR']);
/** It may go well the next time. */
const PASSING = new Set([
  'REPLICA_UNAVAILABLE',
  'PRIMARY_UNAVAILABLE',
  'TIMEOUT',
  'RATE_LIMITED',
  'INTERNAL_SERVER_ERROR',
]);
/** Of a closed websocket: it would go the same way the next time. */
const FINAL = new Set([4400, 4401, 4403, 4406, 4409, 4429]);

/**
 * A client that never retries by itself: graphql-ws would send the subscription as it was first, with a cursor that is
 * old by then. A connection that is gone without a word is found by its missing pongs.
 */
export function connect(url) {
  let timer;
  const on = {
    ping: (received) => void (received || (timer = setTimeout(() => client.terminate(), PONG_TIMEOUT_MS))),
    pong: (received) => void (received && clearTimeout(timer)),
    closed: () => clearTimeout(timer),
  };
  const client = createClient({ url, retryAttempts: 0, keepAlive: PING_MS, on });
  return client;
}

/**
 * Yields the feed's events for ever. Before each snapshot comes `{ __typename: 'StartAnew', reason }`: throw away what
 * you have. Keep `cursor` with what you made of the event, and hand it in as `after` the next time; one of a SnapshotRow
 * is of no use. Throws what would come again: a wrong table, a missing right.
 */
export async function* resume(client, { tables, after = null, signal }) {
  let cursor = after;
  let reason = 'no cursor';
  for (let failures = 0; !signal?.aborted; await pause(failures++, signal)) {
    let isAnew = cursor === null;
    try {
      for await (const event of subscribe(client, { tables, after: cursor, snapshot: true }, signal)) {
        failures = 0;
        if (isAnew) yield { __typename: 'StartAnew', reason };
        isAnew = false;
        reason = 'the snapshot broke off';
        if (event.__typename !== 'SnapshotRow') cursor = event.cursor;
        yield event;
      }
    } catch (error) {
      if (isExpired(error)) [cursor, reason] = [null, codeOf(error)];
      else if (!isPassing(error)) throw new Error(`The feed cannot be followed: ${textOf(error)}`, { cause: error });
    }
  }
}

/** One subscription on one socket. An event with an error in it counts as not received. */
async function* subscribe(client, variables, signal) {
  const results = client.iterate({ query: CHANGES, variables });
  const stop = () => void results.return();
  signal?.addEventListener('abort', stop);
  // Closed with 1000, graphql-ws connects again whatever retryAttempts says, and sends the old cursor.
  const unlisten = client.on('closed', stop);
  try {
    for await (const { data, errors } of results) {
      if (errors) throw errors;
      yield data.changes;
    }
  } finally {
    unlisten();
    signal?.removeEventListener('abort', stop);
  }
}

/** GraphQL errors come as an array, the end of a socket as an event. */
export const codeOf = (error) => error[0]?.extensions?.code ?? error.code;
const textOf = (error) => error[0]?.message ?? error.reason ?? error.message;

export const isExpired = (error) => EXPIRED.has(codeOf(error));

export function isPassing(error) {
  if (Array.isArray(error)) return PASSING.has(codeOf(error));
  return 'type' in error || 'reason' in error ? !FINAL.has(error.code) : false;
}

/** Twice as long each time, and never the same for all: a server that comes back is not run over. */
export const pauseMs = (failures) => Math.min(LONGEST_PAUSE_MS, 200 * 2 ** failures) * (0.5 + Math.random() / 2);

function pause(failures, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, pauseMs(failures));
    signal?.addEventListener('abort', done);
    if (signal?.aborted) done();
  });
}

/** Keeps a copy of the tables in memory, and prints what happens to it. */
async function main([url, ...tables]) {
  const copy = new Map();
  for await (const event of resume(connect(url), { tables })) {
    const { __typename: type, table, key, operation } = event;
    if (type === 'StartAnew') copy.clear();
    else if (operation === 'DELETE') copy.delete(`${table} ${key}`);
    else if (type !== 'CaughtUp') copy.set(`${table} ${key}`, event.user ?? event.post);
    console.log(`${copy.size} rows`, JSON.stringify(event));
  }
}

if (import.meta.main) await main(process.argv.slice(2));
