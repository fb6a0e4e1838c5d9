import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stopOrphans } from './folder.ts';
import { holdsFolder } from './lock.ts';
import type { Report, Request, ServerRequest, ServerSpec, ServerUrls } from './protocol.ts';

export type { ServerSpec, ServerUrls };

export interface EmbeddedServersOptions {
  /** Where data, passwords and logs are, such as `.readback`; created with mode 0700 where missing. */
  dir: string;
  servers: ServerSpec[];
  /** Progress in plain words. */
  say: (line: string) => void;
  /** Further PostgreSQL settings for all servers; `fsync: 'off'` also makes the first start quicker. Default: none. */
  settings?: Record<string, string>;
  /** The folder of a platform package, to run its version of PostgreSQL. Default: the one that is installed. */
  home?: string;
}

export interface EmbeddedServers {
  servers: Record<string, ServerUrls>;
  /** Resolves when all servers and their keeper are gone. Calling it twice is fine. */
  stop(): Promise<void>;
  /** Resolves with a reason when a server or the keeper ends by itself. */
  failed: Promise<string>;
  /** Stops one server while the others go on. */
  stopServer(name: string): Promise<void>;
  startServer(name: string): Promise<void>;
}

export interface EmbeddedOptions extends Omit<EmbeddedServersOptions, 'servers'> {
  /** 0 picks a free port. */
  primaryPort: number;
  replicaPort: number;
}

export interface EmbeddedPair extends Omit<EmbeddedServers, 'servers'> {
  primary: ServerUrls;
  replica: ServerUrls;
}

/** A primary and one replica, both empty: the caller migrates them and subscribes the one to the other. */
export async function startEmbedded({ primaryPort, replicaPort, ...rest }: EmbeddedOptions): Promise<EmbeddedPair> {
  const pair = [
    { name: 'primary', port: primaryPort },
    { name: 'replica', port: replicaPort },
  ];
  const { servers, ...control } = await startEmbeddedServers({ ...rest, servers: pair });
  return { ...control, primary: servers['primary']!, replica: servers['replica']! };
}

/** Any number of servers that know nothing of each other. The calling process stays alive until stop(). */
export async function startEmbeddedServers(options: EmbeddedServersOptions): Promise<EmbeddedServers> {
  const link = new KeeperLink(options);
  const servers = await link.ready.catch(async (error: unknown) => {
    // So that a start right after this one finds the folder free.
    await link.stop();
    throw error;
  });
  return {
    servers,
    failed: link.failed,
    stop: () => link.stop(),
    stopServer: (name) => link.ask('stopServer', name),
    startServer: (name) => link.ask('startServer', name),
  };
}

/** This side of the channel. The channel itself is the message to stop: it closes however this process ends. */
class KeeperLink {
  readonly ready: Promise<Record<string, ServerUrls>>;
  readonly failed: Promise<string>;
  readonly #dir: string;
  readonly #token = randomUUID();
  readonly #say: (line: string) => void;
  readonly #keeper: ChildProcess;
  readonly #exit: Promise<string>;
  readonly #ready = Promise.withResolvers<Record<string, ServerUrls>>();
  readonly #failed = Promise.withResolvers<string>();
  readonly #questions = new Map<number, PromiseWithResolvers<void>>();
  #lastId = 0;
  #stopped: Promise<void> | undefined;

  constructor({ dir, servers, say, settings = {}, home }: EmbeddedServersOptions) {
    this.ready = this.#ready.promise;
    this.failed = this.#failed.promise;
    this.#dir = resolve(dir);
    this.#say = say;
    this.#keeper = spawnKeeper(this.#dir, this.#token);
    this.#exit = exitOf(this.#keeper);
    this.#keeper.on('message', (report) => this.#hear(report as Report));
    void this.#exit.then((how) => this.#lost(how));
    this.#send({ type: 'start', shown: dir, servers, settings, ...(home !== undefined && { home }) });
  }

  #send(request: Request): void {
    // An error here means that the keeper is gone, which #lost tells.
    this.#keeper.send(request, () => {});
  }

  #hear(report: Report): void {
    switch (report.type) {
      case 'say':
        return this.#say(report.line);
      case 'ready':
        return this.#ready.resolve(report.urls);
      case 'refused':
        return this.#ready.reject(new Error(report.message));
      case 'ended':
        return this.#failed.resolve(report.reason);
      case 'done':
        return this.#answered(report.id, report.error);
    }
  }

  #answered(id: number, error: string | undefined): void {
    const question = this.#questions.get(id);
    this.#questions.delete(id);
    if (error === undefined) question?.resolve();
    else question?.reject(new Error(error));
  }

  #lost(how: string): void {
    const reason = `The keeper of the embedded servers ended: ${how}`;
    this.#ready.reject(new Error(reason));
    if (!this.#stopped) this.#failed.resolve(reason);
    for (const id of this.#questions.keys()) this.#answered(id, reason);
  }

  async ask(type: ServerRequest['type'], name: string): Promise<void> {
    const question = Promise.withResolvers<void>();
    const id = ++this.#lastId;
    this.#questions.set(id, question);
    if (this.#keeper.connected) this.#send({ type, id, name });
    else this.#answered(id, 'The embedded servers are stopped: start them again.');
    return question.promise;
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  /** A keeper that was killed has left its servers behind, and its lock, unless somebody else took the folder since. */
  async #stop(): Promise<void> {
    if (this.#keeper.connected) this.#keeper.disconnect();
    await this.#exit;
    if (holdsFolder(this.#dir, this.#token)) await stopOrphans(realpathSync(this.#dir), this.#say);
  }
}

/** Detached: a Ctrl-C at the terminal must not reach PostgreSQL before its clients have finished. */
function spawnKeeper(dir: string, token: string): ChildProcess {
  const keeper = new URL(`./keeper${extname(import.meta.url)}`, import.meta.url);
  const { PATH = '/usr/bin:/bin', LANG = 'C', TZ = 'UTC' } = process.env;
  return spawn(process.execPath, [fileURLToPath(keeper), dir, token], {
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { PATH: `${PATH}:/usr/sbin:/sbin`, LANG, TZ },
  });
}

function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((done) => {
    child.once('error', (error) => done(error.message));
    child.once('exit', (code, signal) => done(signal ?? `exit code ${code}`));
  });
}
