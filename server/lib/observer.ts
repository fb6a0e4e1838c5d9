/**
 * What the server tells of while it works: operations, the batches and statements that they come to, and connections.
 * Whoever does the work is handed an observer, and knows nothing of metrics, logs and traces. Each of these stands on the
 * way of a request: it answers at once, and never throws.
 */
export interface Observer {
  operation(begun: Begun): OperationObserver;
  /** A pool of connections, by the name that PostgreSQL shows for it. Asked for again, it is the same one. */
  pool(name: string, connections: number): PoolObserver;
  /** Where traces are kept: runs `work` so that what it causes, now and later, is told as part of one operation. */
  readonly together: ((work: () => void) => void) | undefined;
}

export type Via = 'http' | 'rest' | 'websocket';

export interface Begun {
  requestId: string | undefined;
  via: Via;
  /** Of the client's own trace, as W3C Trace Context has it. */
  traceparent?: string | undefined;
}

/** Where an operation's reads went. */
export interface Chosen {
  /** The replica's name, or `primary`. */
  name: string;
  waitedMs: number;
  fallback?: string | undefined;
}

/** What there is to say of an operation at its end. */
export interface Answered {
  source: string;
  waitedMs: number;
  fallback?: string | undefined;
}

export interface OperationObserver {
  /** What traces know it by; undefined where none are kept. */
  readonly trace: unknown;
  /** Its document is valid. */
  known(kind: 'query' | 'mutation' | 'subscription', name: string | undefined): void;
  chose(place: Chosen): void;
  /** `ok`, or the code of its first error. Told twice, the first counts. */
  ended(outcome: string, answered?: Answered): void;
  /** Runs a part of it: what that causes is told as its own. */
  within<T>(work: () => T): T;
}

/** Keys that are read together. */
export interface Batched {
  loader: string;
  keys: number;
  /** What traces know those by who asked for them. */
  askedBy: readonly unknown[];
}

export interface PoolObserver {
  batch<T>(batched: Batched, run: () => Promise<T>): Promise<T>;
  /** A statement, by the first part of its text, which holds no value; `isReserved`: on a connection that is held already. */
  statement(text: string, isReserved: boolean): Turn;
  /** A connection, to be held for several statements. */
  connection(): Turn;
}

/** Of a statement, or of whoever holds a connection. */
export interface Turn {
  /** It has its connection. */
  began(): void;
  ended(): void;
}
