import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createClient, type Client } from 'graphql-ws';
import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { buildChanged } from '../../../infra/launch/prepare.mjs';
import { projectRoot } from '../../lib/root.ts';
import type { TestDatabases } from './databases.ts';

const SETTINGS = [
  '.env.example',
  '.gitignore',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  '.prettierrc.json',
  '.prettierignore',
  'codegen.yml',
  'knip.jsonc',
  'oxlint.config.ts',
  'vitest.config.ts',
  'vitest.postgres.config.ts',
];
const PARTS = ['server', 'schema', 'sql', 'infra', 'dist', ...SETTINGS];

/** Whoever calls outside of a test says when the end is. */
export type AtEnd = (undo: () => void) => void;

/** The built project in a folder of its own, to write into; gone in the end. tsc builds there what differs. */
export async function projectCopy(atEnd: AtEnd = onTestFinished): Promise<string> {
  if ((await buildChanged()) !== 0) throw new Error('the build failed');
  const root = mkdtempSync(join(tmpdir(), 'readback-copy-'));
  atEnd(() => rmSync(root, { recursive: true }));
  // In dist/before are whole projects, of earlier commits.
  const filter = (path: string) => basename(path) !== 'node_modules' && !path.endsWith('dist/before');
  for (const name of PARTS) cpSync(join(projectRoot, name), join(root, name), { recursive: true, filter });
  symlinkSync(join(projectRoot, 'node_modules'), join(root, 'node_modules'));
  return root;
}

export function writeFiles(root: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

/** `ok`, or what the program said. */
export function run(root: string, program: string, ...args: string[]): string {
  const options = { cwd: root, encoding: 'utf8' } as const;
  const { stdout, stderr, status } = spawnSync(join(root, 'node_modules/.bin', program), args, options);
  return status === 0 ? 'ok' : stdout + stderr;
}

/** A server of the copy: what it answers to a query, and where else it listens. */
export interface CopyServer {
  (query: string, token?: string): Promise<any>;
  websocket: (token?: string) => Client;
  url: string;
  /** What it has written so far. */
  output: () => string;
}

/** The copy's own server over the databases, until the test has ended. */
export async function serve(
  root: string,
  databases: TestDatabases,
  access: 'open' | 'protected' = 'open',
  settings: Record<string, string> = {},
): Promise<CopyServer> {
  const { primary, replicas } = databases.config;
  const env = {
    PATH: process.env['PATH'],
    PORT: '0',
    ACCESS: access,
    PRIMARY_URL: primary.url,
    REPLICA_URLS: replicas[0]!.url,
    ...settings,
  };
  const server = spawn(process.execPath, [join(root, 'dist/readback/main.js'), 'serve'], { cwd: root, env });
  const ended = new Promise((resolve) => server.once('exit', resolve));
  onTestFinished(async () => {
    server.kill();
    await ended;
  });
  let output = '';
  server.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  for await (const chunk of server.stdout) {
    output += String(chunk);
    const url = /GraphQL +(\S+)/.exec(output)?.[1];
    if (url === undefined) continue;
    server.stdout.on('data', (more: Buffer) => (output += more.toString()));
    return talkTo(url, () => output);
  }
  throw new Error(`the server ended: ${output}`);
}

/** With strong consistency: the data, or the extensions of the errors. */
function talkTo(url: string, output: () => string): CopyServer {
  const websocket = (token?: string) => {
    const client = createClient({
      url: url.replace('http', 'ws'),
      webSocketImpl: WebSocket,
      connectionParams: token === undefined ? {} : { token },
      retryAttempts: 0,
    });
    onTestFinished(() => client.dispose());
    return client;
  };
  return Object.assign((query: string, token?: string) => ask(url, query, token), { websocket, url, output });
}

async function ask(url: string, query: string, token?: string): Promise<any> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'readback-consistency': 'strong',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ query }),
  });
  const { data, errors } = (await response.json()) as { data: unknown; errors?: { extensions: object }[] };
  return errors ? errors.map(({ extensions }) => extensions) : data;
}
