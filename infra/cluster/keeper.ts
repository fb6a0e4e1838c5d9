/**
 * The process between Readback and its embedded servers. It has its own process group, so that Ctrl-C ends Readback
 * first; and it stops the servers when its channel closes, whatever ended Readback. Started by embedded.ts as
 * `node keeper.ts FOLDER TOKEN`; the token tells it from others that got its process id later.
 */
import { binariesIn, findHome } from './binaries.ts';
import { loadPasswords, openFolder, removeLeftovers, stopOrphans, urlsOf } from './folder.ts';
import { initAll } from './initdb.ts';
import { lockFolder, type FolderLock } from './lock.ts';
import { settlePorts } from './ports.ts';
import { PostgresServer } from './postgres-server.ts';
import {
  messageOf,
  type Report,
  type Request,
  type ServerRequest,
  type ServerUrls,
  type StartRequest,
} from './protocol.ts';
import { chooseRunAs } from './run-as.ts';

const [folder = '', token = ''] = process.argv.slice(2);
const ending = new AbortController();
const servers = new Map<string, PostgresServer>();
let lock: FolderLock | undefined;
let starting: Promise<void> = Promise.resolve();

/** Nobody may be listening any more: then there is nothing to tell. */
function tell(report: Report): Promise<void> {
  return new Promise((resolve) => {
    if (!process.connected) return resolve();
    process.send?.(report, undefined, undefined, () => resolve());
  });
}

const say = (line: string): void => void tell({ type: 'say', line });

async function start(request: StartRequest): Promise<void> {
  const { shown, settings, home = findHome() } = request;
  const { signal } = ending;
  const dir = openFolder(folder, shown);
  const binaries = await binariesIn(home);
  lock = await lockFolder(dir, shown, token, signal);
  removeLeftovers(dir);
  await stopOrphans(dir, say);
  // What is taken is told before anything is made.
  await settlePorts(request.servers);
  const names = request.servers.map(({ name }) => name);
  const passwords = loadPasswords(dir, shown, names);
  const runAs = await chooseRunAs(dir, names, binaries, say);
  const durable = settings['fsync'] !== 'off';
  await initAll(names, { dir, shown, binaries, runAs, password: passwords.postgres, durable, say, signal });
  // Chosen late: until its server has it, a free port may become another's.
  const specs = await settlePorts(request.servers);
  signal.throwIfAborted();
  for (const { name, port } of specs) {
    servers.set(name, new PostgresServer({ name, port, dir, binaries, runAs, settings, ended }));
  }
  await Promise.all([...servers.values()].map((server) => server.start()));
  const urls = specs.map(({ name, port }): [string, ServerUrls] => [name, urlsOf(port, passwords)]);
  await tell({ type: 'ready', urls: Object.fromEntries(urls) });
}

function ended(reason: string): void {
  void tell({ type: 'ended', reason });
}

async function startOrRefuse(request: StartRequest): Promise<void> {
  try {
    await start(request);
  } catch (error) {
    if (!ending.signal.aborted) await tell({ type: 'refused', message: messageOf(error) });
    void end(1);
  }
}

async function serve({ type, id, name }: ServerRequest): Promise<void> {
  try {
    const server = servers.get(name);
    if (!server) throw new Error(`No server is named ${name}, there are: ${[...servers.keys()].join(', ')}.`);
    await (type === 'stopServer' ? server.stop() : server.start());
    await tell({ type: 'done', id });
  } catch (error) {
    await tell({ type: 'done', id, error: messageOf(error) });
  }
}

/** Twice around a start under way: the first stop cuts it short, the second takes what it started meanwhile. */
async function end(code: number): Promise<void> {
  if (ending.signal.aborted) return;
  ending.abort();
  attempt(() => lock?.stopping());
  await stopAll();
  await starting;
  await stopAll();
  attempt(() => lock?.release());
  process.exit(code);
}

async function stopAll(): Promise<void> {
  const results = await Promise.allSettled([...servers.values()].map((server) => server.stop()));
  for (const result of results) if (result.status === 'rejected') complain(result.reason);
}

function complain(error: unknown): void {
  console.error(`The keeper of the embedded servers: ${messageOf(error)}`);
}

/** The folder may be gone; that must not keep us from stopping the servers. */
function attempt(step: () => void): void {
  try {
    step();
  } catch (error) {
    complain(error);
  }
}

process.on('message', (request: Request) => {
  if (request.type !== 'start') void serve(request);
  else starting = startOrRefuse(request);
});
process.once('disconnect', () => void end(0));
process.on('SIGTERM', () => void end(0));
process.on('SIGINT', () => {});
process.on('SIGHUP', () => {});
process.on('uncaughtException', (error) => {
  attempt(() => complain(error));
  void end(1);
});
// The parent may have died before the listener above was there.
if (!process.connected) void end(0);
