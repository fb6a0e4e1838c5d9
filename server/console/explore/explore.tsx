/** @jsxImportSource react */
import './workers.ts';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { createClient } from 'graphql-ws/client';
import { createRoot } from 'react-dom/client';
import { INTROSPECTION, type Schema } from '../api/introspect.ts';
import { tablesIn, type Table } from '../state/tables.ts';
import { firstOf } from './first.ts';
import 'graphiql/style.css';
import './explore.css';

const url = new URL('/graphql', location.href);
const socketUrl = Object.assign(new URL(url), { protocol: location.protocol === 'https:' ? 'wss:' : 'ws:' });

/** The headers of the editor go along on the websocket as its connection parameters, under the same names. */
let headers: Record<string, unknown> = {};
const http = createGraphiQLFetcher({
  url: url.href,
  wsClient: createClient({ url: socketUrl.href, connectionParams: () => headers, lazyCloseTimeout: 0 }),
});

/** Where the server does not tell its schema, there is less to begin with. */
async function askForTables(): Promise<Table[]> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: INTROSPECTION }),
    });
    const { data } = (await response.json()) as { data?: { __schema: Schema } };
    return data ? tablesIn(data.__schema) : [];
  } catch {
    return [];
  }
}

async function open(root: HTMLElement): Promise<void> {
  const first = firstOf(await askForTables());
  createRoot(root).render(
    <GraphiQL
      defaultQuery={first}
      fetcher={(request, options) => {
        headers = Object.fromEntries(
          Object.entries(options?.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
        );
        return http(request, options);
      }}
    />,
  );
}

const root = document.getElementById('explorer');
if (root) void open(root);
