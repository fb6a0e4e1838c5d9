import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, fchownSync, fstatSync, openSync, readFileSync, readSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Binaries } from './binaries.ts';
import { shutDown } from './processes.ts';
import type { RunAs } from './run-as.ts';

export interface ServerOptions {
  name: string;
  port: number;
  dir: string;
  binaries: Binaries;
  runAs: RunAs;
  settings: Record<string, string>;
  /** Called when it ends without having been told to. */
  ended: (reason: string) => void;
}

/** Room for some ten replicas, each with a subscription to the primary and a slot there. */
const SETTINGS: Record<string, string> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  track_commit_timestamp: 'on',
  max_connections: '200',
  max_wal_senders: '40',
  max_replication_slots: '40',
  max_logical_replication_workers: '40',
  max_worker_processes: '60',
  max_sync_workers_per_subscription: '2',
  shared_buffers: '128MB',
  wal_receiver_status_interval: '1s',
  // A lost stream is taken up again this soon; PostgreSQL's 5 s would keep a replica out of use for as long.
  wal_retrieve_retry_interval: '1s',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

/** What a version knows, and earlier ones refuse. Before it, max_replication_slots was the limit of origins, too. */
const SETTINGS_SINCE: [major: number, settings: Record<string, string>][] = [
  [18, { max_active_replication_origins: '40' }],
];

const READY_MS = 120_000;
/** `standby`: it takes reads. */
const READY = new Set(['ready', 'standby']);
/** A backend that is at work when its postmaster dies notices it only when it waits for something. */
const LINGER_MS = 60_000;
const LOG_BYTES = 10_000_000;

interface Running {
  process: ChildProcess;
  pid: number;
  /** Resolves with how it ended. */
  exit: Promise<string>;
  /** Where this run's lines begin in the log. */
  logStart: number;
  stopping: boolean;
}

/** One PostgreSQL, a child of the keeper. */
export class PostgresServer {
  readonly options: ServerOptions;
  readonly #data: string;
  readonly #log: string;
  #running: Running | undefined;

  constructor(options: ServerOptions) {
    this.options = options;
    this.#data = join(options.dir, options.name);
    this.#log = `${this.#data}.log`;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    if (this.#running) return;
    for (const deadline = Date.now() + LINGER_MS; ; await sleep(100)) {
      const reason = await this.#tryStart();
      if (reason === undefined) return;
      // After a crash the old backends need a moment to notice it; until then they hold the shared memory.
      const lingering = /pre-existing shared memory block/.test(reason);
      if (!lingering || Date.now() > deadline) throw new Error(`The ${this.options.name} does not start: ${reason}`);
    }
  }

  async #tryStart(): Promise<string | undefined> {
    const running = this.#spawn();
    if (typeof running === 'string') return running;
    this.#running = running;
    const exit = running.exit.then((how) => `${how}, ${this.#why(running)}`);
    const reason = await Promise.race([exit, this.#ready(running)]);
    if (reason !== undefined) this.#running = undefined;
    else void exit.then((how) => this.#onEnd(running, how));
    return reason;
  }

  #spawn(): Running | string {
    const log = this.#openLog();
    // Before it is started: it may have said why it ends by the time that this is read.
    const logStart = fstatSync(log).size;
    const { file, args, options } = this.options.runAs.command(this.options.binaries.postgres, this.#flags());
    const child = spawn(file, args, { ...options, cwd: '/', stdio: ['ignore', log, log] });
    closeSync(log);
    const exit = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
    if (child.pid === undefined) return `cannot run ${file}`;
    return { process: child, pid: child.pid, exit, logStart, stopping: false };
  }

  #flags(): string[] {
    const { binaries, settings: own, port } = this.options;
    const later = SETTINGS_SINCE.filter(([major]) => binaries.major >= major).map(([, settings]) => settings);
    const settings = Object.assign({}, SETTINGS, ...later, own, { port: String(port) }) as Record<string, string>;
    return ['-D', this.#data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  }

  /** The keeper opens the log, as the other user that PostgreSQL may run as has no right to the folder. */
  #openLog(): number {
    const size = statSync(this.#log, { throwIfNoEntry: false })?.size ?? 0;
    if (size > LOG_BYTES) renameSync(this.#log, `${this.#log}.1`);
    const log = openSync(this.#log, 'a', 0o600);
    const { owner } = this.options.runAs;
    if (owner) fchownSync(log, owner.uid, owner.gid);
    return log;
  }

  /** The postmaster writes its status into its pid file; a stale file has another pid. */
  async #ready({ process: child, pid }: Running): Promise<string | undefined> {
    for (const deadline = Date.now() + READY_MS; Date.now() < deadline; await sleep(15)) {
      const lines = readIfThere(join(this.#data, 'postmaster.pid')).split('\n');
      if (lines[0] === String(pid) && READY.has(lines[7]?.trim() ?? '')) return undefined;
      if (child.exitCode !== null || child.signalCode !== null) return new Promise(() => {});
    }
    await this.stop();
    return `it does not answer within ${READY_MS / 1000} s, see ${this.#log}`;
  }

  /** The last line that names a reason, of what this run has logged. */
  #why({ logStart }: Running): string {
    const lines = readFrom(this.#log, logStart).split('\n');
    const line = lines.findLast((text) => /FATAL|PANIC/.test(text)) ?? lines.findLast((text) => text.trim() !== '');
    return line === undefined ? `nothing in ${this.#log}` : line.replace(/^.*?(?=FATAL|PANIC|LOG:)/, '').trim();
  }

  #onEnd(running: Running, how: string): void {
    if (this.#running === running) this.#running = undefined;
    if (!running.stopping) this.options.ended(`The ${this.options.name} ended by itself: ${how}`);
  }

  /** Stopping twice is fine. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (!running) return;
    running.stopping = true;
    const gone = running.exit.then(() => true);
    await shutDown(running.pid, (ms) => Promise.race([gone, sleep(ms, false, { ref: false })]));
    this.#running = undefined;
  }
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** At most the last 64 kB: a crash may follow a long and loud run. */
function readFrom(file: string, start: number): string {
  const handle = openSync(file, 'r');
  try {
    const { size } = fstatSync(handle);
    const from = Math.max(start, size - 65_536);
    const buffer = Buffer.alloc(size - from);
    return buffer.toString('utf8', 0, readSync(handle, buffer, 0, buffer.length, from));
  } finally {
    closeSync(handle);
  }
}
