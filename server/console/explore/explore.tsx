/** @jsxImportSource react */
import './workers.ts';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { createClient } from 'graphql-ws/client';
import { createRoot } from 'react-dom/client';
import 'graphiql/style.css';
import './explore.css';

const FIRST = `# Run with Ctrl-Enter. On the left: documentation, history.
# extensions.readback.source says who answered. The bookmark
# goes along in a cookie, so you read what you have written.

query Users {
  users(first: 5) {
    totalCount
    nodes {
      id
      username
      email
      createdAt
    }
  }
}

mutation CreateUser {
  createUser(
    input: {
      username: "ada"
      email: "ada@example.com"
      password: "correct horse"
    }
  ) {
    user {
      id
    }
    bookmark
  }
}

# To go on after a change: changes(after: "its cursor")
subscription Changes {
  changes {
    ... on Change {
      cursor
      operation
      table
      key
      changedFields
      lagMs
    }
    ... on CaughtUp {
      cursor
    }
  }
}
`;

const url = new URL('/graphql', location.href);
const socketUrl = Object.assign(new URL(url), { protocol: location.protocol === 'https:' ? 'wss:' : 'ws:' });

/** The headers of the editor go along on the websocket as its connection parameters, under the same names. */
let headers: Record<string, unknown> = {};
const http = createGraphiQLFetcher({
  url: url.href,
  wsClient: createClient({ url: socketUrl.href, connectionParams: () => headers, lazyCloseTimeout: 0 }),
});

const root = document.getElementById('explorer');
if (root)
  createRoot(root).render(
    <GraphiQL
      defaultQuery={FIRST}
      fetcher={(request, options) => {
        headers = Object.fromEntries(
          Object.entries(options?.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
        );
        return http(request, options);
      }}
    />,
  );
