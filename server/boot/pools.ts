import type { Config, DatabaseUrls } from './config.ts';
import { connect, type ConnectOptions, type Sql } from '../database/connect.ts';
import { Connections } from '../database/connections.ts';
import { Fence } from '../database/fence.ts';
import { observed } from '../database/statements.ts';
import { PooledGate, POOLED_ROLES, pooledWays } from '../database/pooled.ts';
import { withShares } from '../database/shares.ts';
import { complainTo, type Complain } from '../lib/complaints.ts';
import { describeUrl, parseDatabaseUrl } from '../lib/database-url.ts';
import { kept } from '../lib/kept.ts';
import type { Logger } from '../lib/logger.ts';
import type { Observer } from '../lib/observer.ts';
import type { Releasers } from '../lib/releasers.ts';

type PoolOptions = Pick<ConnectOptions, 'role' | 'max' | 'pipeline' | 'closed' | 'notified' | 'pooled'> & {
  name: string;
};

const END_TIMEOUT_S = 3;
const OUTDATED =
  'a server that was the primary before, and was replaced, takes writes: it is not used. Stop it, or make it a standby.';
/** Opens connection pools, and closes them with the server. */
export class Pools {
  readonly #config: Config;
  readonly #observer: Observer;
  readonly #log: Logger;
  readonly complain: Complain;
  readonly #open: Sql[] = [];
  readonly #connections = new Map<string, Connections>();

  constructor(config: Config, observer: Observer, releasers: Releasers, log: Logger) {
    this.#config = config;
    this.#observer = observer;
    this.#log = log;
    this.complain = complainTo(log);
    // All at once: a server that is away makes each wait its whole time.
    releasers.add('connections', () => Promise.all(this.#open.map((sql) => sql.end({ timeout: END_TIMEOUT_S }))));
  }

  open(url: string, options: PoolOptions): Sql {
    const sql = this.connect(url, options);
    this.#open.push(sql);
    return observed(sql, this.#observer.pool(options.name, options.max));
  }

  /** Through the pooler, where there is one for this. */
  openFor(what: keyof typeof POOLED_ROLES, urls: DatabaseUrls, options: Omit<PoolOptions, 'role'>): Sql {
    const role = POOLED_ROLES[what];
    const way = pooledWays(urls, this.#config).find((one) => one.role === role);
    if (!way) return this.open(urls.url, { ...options, role });
    const gate = new PooledGate(way);
    const closed = () => {
      gate.forget();
      options.closed?.();
    };
    return this.open(way.url, { ...options, closed, pooled: { allowed: gate.allowed } });
  }

  /** For reads of requests: no spender has all of its connections, where there are limits. */
  openReads(urls: DatabaseUrls, options: Omit<PoolOptions, 'role'>): Sql {
    const sql = this.openFor('reads', urls, options);
    return this.#config.COST_PER_SECOND_MAX > 0 ? withShares(sql, options.max) : sql;
  }

  /** Of several hosts, all connections of the process go to the same one. */
  connectionsTo(url: string): Connections {
    return kept(this.#connections, describeUrl(url), (at) => {
      if (parseDatabaseUrl(url).hosts.length === 1) return new Connections();
      return new Fence((timelines) => this.#log.error({ at, ...timelines }, OUTDATED));
    });
  }

  /** It does not answer, and nothing that goes there will be answered. */
  leaveReplica({ url, pooled }: DatabaseUrls): void {
    for (const each of [url, pooled?.reads]) if (each !== undefined) this.connectionsTo(each).leaveAll();
  }

  /** Where it is the only host, there is no other to go to, and what waits for it may be answered yet. */
  leavePrimary({ url }: DatabaseUrls): void {
    const connections = this.connectionsTo(url);
    if (connections instanceof Fence) connections.leaveAll();
  }

  /** One that nobody observes: whoever asks for it ends it. */
  connect(url: string, { name, ...options }: PoolOptions): Sql {
    return connect(url, {
      ...options,
      connections: this.connectionsTo(url),
      readOnly: options.role === 'readback_reader',
      connectTimeoutMs: this.#config.DB_CONNECT_TIMEOUT_MS,
      statementTimeoutMs: this.#config.STATEMENT_TIMEOUT_MS,
      applicationName: `readback ${name}`,
    });
  }
}
