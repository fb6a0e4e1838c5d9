import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print } from 'graphql';
import { createClient, type Client } from 'graphql-ws';
import { WebSocket } from 'ws';
import type { Config } from '../../boot/config.ts';
import { createLog, serve } from '../../boot/serve.ts';
import { freshDatabases, testConfig, type TestDatabases } from './databases.ts';

export interface Answer<Data> {
  status: number;
  headers: Headers;
  data: Data;
  errors: { message: string; path?: (string | number)[]; extensions: { code: string; field?: string } }[];
  readback: { source: string; bookmark: string; waitedMs: number; fallback?: string };
}

/** What talks to a server, wherever it runs. */
export interface TestClient {
  url: string;
  /** POST /graphql. */
  query: <Data, Variables extends object>(
    document: TypedDocumentNode<Data, Variables> | string,
    variables?: Variables,
    headers?: Record<string, string>,
  ) => Promise<Answer<Data>>;
  /** The code and field of the only error. */
  failure: (
    document: TypedDocumentNode<unknown, never> | string,
    variables?: object,
    headers?: Record<string, string>,
  ) => Promise<string>;
  rest: (
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ) => Promise<{ status: number; headers: Headers; body: any }>;
  /** With a token: it is sent in connectionParams. */
  websocket: (token?: string) => Client;
  /** Closes the websockets. */
  dispose: () => Promise<void>;
}

export interface TestServer extends TestClient {
  metricsPort: number | undefined;
  databases: TestDatabases;
  subscribers: () => number;
  groups: () => number;
  slowClients: () => number;
  stop: () => Promise<void>;
}

/** A server on a free port over fresh databases, or the ones given. */
export async function startServer(
  overrides: Partial<Config> = {},
  given?: TestDatabases,
  lines?: { write: (line: string) => void },
): Promise<TestServer> {
  const databases = given ?? (await freshDatabases());
  const config = testConfig(overrides);
  const server = await serve(config, databases.config, createLog(config, lines));
  const client = connectTo(`http://127.0.0.1:${server.port}`);
  return {
    ...client,
    metricsPort: server.metricsPort,
    databases,
    subscribers: () => server.fanOut.subscribers,
    groups: () => server.fanOut.groups,
    slowClients: () => server.fanOut.slowClients,
    stop: async () => {
      await client.dispose();
      await server.stop();
      if (!given) await databases.drop();
    },
  };
}

export function connectTo(url: string): TestClient {
  const clients: Client[] = [];
  const query = querier(url);
  return {
    url,
    query,
    failure: async (document, variables = {}, headers = {}) => {
      const { errors } = await query(document as string, variables, headers);
      if (errors.length !== 1) throw new Error(`expected one error, got ${JSON.stringify(errors)}`);
      const { code, field } = errors[0]!.extensions;
      return field === undefined ? code : `${code} ${field}`;
    },
    rest: (method, path, body, headers) => rest(url, method, path, body, headers),
    websocket: (token) => {
      const client = createClient({
        url: `${url.replace('http', 'ws')}/graphql`,
        webSocketImpl: WebSocket,
        lazy: true,
        ...(token !== undefined && { connectionParams: { token } }),
        retryAttempts: 0,
      });
      clients.push(client);
      return client;
    },
    dispose: async () => {
      for (const client of clients) await client.dispose();
    },
  };
}

function querier(url: string): TestClient['query'] {
  return async (document, variables, headers) => {
    const query = typeof document === 'string' ? document : print(document);
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ query, variables }),
    });
    const body = (await response.json()) as any;
    return {
      status: response.status,
      headers: response.headers,
      data: body.data,
      errors: body.errors ?? [],
      readback: body.extensions?.readback,
    };
  };
}

async function rest(url: string, method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const json =
    body === undefined
      ? {}
      : {
          body: typeof body === 'string' ? body : JSON.stringify(body),
          headers: { 'content-type': 'application/json', ...headers },
        };
  const response = await fetch(`${url}${path}`, { method, headers, ...json });
  return { status: response.status, headers: response.headers, body: await response.json() };
}
