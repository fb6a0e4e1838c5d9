/**
 * Apollo Client that reads its own writes, and follows the feed across whatever breaks off in between.
 *
 *   node infra/examples/apollo-client.mjs http://127.0.0.1:3000/graphql users
 *
 * Needs Node 22 or a browser, and `npm install @apollo/client rxjs graphql graphql-ws`. Copy this file and graphql-ws.mjs.
 */
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, gql, HttpLink, InMemoryCache } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { concat, defer, map, Observable, retry, takeUntil, tap, throwError, timer } from 'rxjs';
import { CHANGES, codeOf, connect, isExpired, isPassing, pauseMs } from './graphql-ws.mjs';

export function createApollo(url) {
  const socket = connect(url.replace(/^http/, 'ws'));
  const link = ApolloLink.split(
    ({ operationType }) => operationType === 'subscription',
    ApolloLink.from([resuming(socket), new GraphQLWsLink(socket)]),
    ApolloLink.from([carryingBookmarks(), new HttpLink({ uri: url })]),
  );
  return new ApolloClient({ link, cache: new InMemoryCache() });
}

/**
 * Each request carries the bookmark of the latest answer, and so sees at least what that one saw. An answer to a request
 * that was sent before a write was answered may be older than the write: its bookmark is left.
 */
function carryingBookmarks() {
  let bookmark;
  return new ApolloLink((operation, forward) => {
    const sent = bookmark;
    if (sent) operation.setContext(({ headers }) => ({ headers: { ...headers, 'readback-bookmark': sent } }));
    const keep = () => {
      const received = operation.getContext().response?.headers.get('readback-bookmark');
      if (received && (bookmark === sent || operation.operationType === 'mutation')) bookmark = received;
    };
    return forward(operation).pipe(tap(keep));
  });
}

/**
 * Sends a subscription with `context: { startAnew }` again after the last event whenever it breaks off, and calls
 * `startAnew(reason)` before each snapshot: throw away what you have. Others pass.
 */
function resuming(socket) {
  const closed = new Observable((observer) => socket.on('closed', (event) => observer.error(event)));
  return new ApolloLink((operation, forward) => {
    const { startAnew } = operation.getContext();
    if (!startAnew) return forward(operation);
    let cursor = operation.variables.after ?? null;
    let reason = 'no cursor';
    const once = defer(() => {
      operation.variables = { ...operation.variables, after: cursor, snapshot: true };
      let isAnew = cursor === null;
      const look = ({ data, errors }) => {
        if (errors) throw new CombinedGraphQLErrors({ errors });
        if (isAnew) startAnew(reason);
        isAnew = false;
        reason = 'the snapshot broke off';
        const { __typename: type, cursor: next } = data.changes;
        if (type !== 'SnapshotRow') cursor = next;
      };
      return forward(operation).pipe(tap(look), takeUntil(closed));
    });
    const again = (error, failures) => {
      const cause = error.errors ?? error; // Apollo wraps the server's errors, and makes one of a socket that does not open
      if (isExpired(cause)) [cursor, reason] = [null, codeOf(cause)];
      else if (!isPassing(cause) && !error.message?.startsWith('Socket closed')) throw error;
      return timer(pauseMs(failures - 1));
    };
    const ended = throwError(() => ({ type: 'complete' }));
    return concat(once, ended).pipe(retry({ delay: again, resetOnSuccess: true }));
  });
}

/** The feed's events, and a call before each snapshot. Nothing goes into the cache: what to keep is up to you. */
export function follow(client, { tables, after = null, startAnew }) {
  return client
    .subscribe({
      query: gql(CHANGES),
      variables: { tables, after, snapshot: true },
      fetchPolicy: 'no-cache',
      context: { startAnew, queryDeduplication: false }, // a second one must not join the first in the middle
    })
    .pipe(
      map(({ data, error }) => {
        if (error) throw error;
        return data.changes;
      }),
    );
}

/** Prints what happens to the tables, and how many users a read through the same client sees. */
async function main([url, ...tables]) {
  const client = createApollo(url);
  const { data } = await client.query({ query: gql('query { users(first: 1) { totalCount } }') });
  console.log(`${data.users.totalCount} users`);
  const startAnew = (reason) => console.log(`a snapshot follows: ${reason}`);
  follow(client, { tables, startAnew }).subscribe((event) => console.log(JSON.stringify(event)));
}

if (import.meta.main) await main(process.argv.slice(2));
