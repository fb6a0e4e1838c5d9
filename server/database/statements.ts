import type { PoolObserver, Turn } from '../lib/observer.ts';
import type { Sql, Statement } from './connect.ts';

/** The driver's query. A connection makes it active when its turn has come, and whoever settles it makes it inactive. */
interface DriverQuery {
  strings: readonly string[];
  handler: (query: DriverQuery) => unknown;
  active: boolean;
  /** It was sent, or is about to be. */
  executed: boolean;
  cancel: () => unknown;
  [ACTIVE]: boolean;
  [TURN]?: Turn;
}

const ACTIVE = Symbol('active');
const TURN = Symbol('turn');

type Callable = (...args: unknown[]) => unknown;

const observers = new WeakMap<Sql, PoolObserver>();

/** The same pool, whose statements and reservations are told to an observer. */
export function observed(sql: Sql, observer: PoolObserver): Sql {
  tellActive(Object.getPrototypeOf(sql``) as DriverQuery);
  const reserve = () => reserveObserved(sql, observer);
  const proxy = new Proxy(sql, {
    apply: (target, self, args) => follow(Reflect.apply(target as unknown as Callable, self, args), observer, false),
    get: (target, name) => (name === 'reserve' ? reserve : (Reflect.get(target, name) as unknown)),
  });
  observers.set(proxy, observer);
  return proxy;
}

/** Undefined for a pool that nobody observes. */
export const observerOf = (sql: Sql): PoolObserver | undefined => observers.get(sql);

async function reserveObserved(sql: Sql, observer: PoolObserver) {
  const turn = observer.connection();
  try {
    const connection = await sql.reserve();
    turn.began();
    const release = () => {
      turn.ended();
      connection.release();
    };
    return new Proxy(connection, {
      apply: (target, self, args) => follow(Reflect.apply(target as unknown as Callable, self, args), observer, true),
      get: (target, name) => (name === 'release' ? release : (Reflect.get(target, name) as unknown)),
    });
  } catch (error) {
    turn.ended();
    throw error;
  }
}

/** Parts of statements, names and values are made by the same call, and are never sent by themselves. */
function follow(made: unknown, observer: PoolObserver, isReserved: boolean): unknown {
  if (!(made instanceof Promise)) return made;
  const query = made as unknown as DriverQuery;
  const send = query.handler;
  query.handler = (sent) => {
    query[TURN] = observer.statement(query.strings[0]!, isReserved);
    return send(sent);
  };
  return made;
}

/** A statement that goes over a connection which is held already, by the driver's own means: awaiting it sends nothing. */
export function observedOnHeld<Row extends object>(sql: Sql, statement: Statement<Row>): Statement<Row> {
  const query = statement as unknown as DriverQuery;
  query.executed = true;
  const turn = observers.get(sql)?.statement(query.strings[0]!, true);
  if (turn) query[TURN] = turn;
  return statement;
}

/** One accessor for all of the driver's queries: one on each would cost each query the shape that makes it quick. */
function tellActive(queries: DriverQuery): void {
  if (Object.hasOwn(queries, 'active')) return;
  Object.defineProperty(queries, 'active', {
    get(this: DriverQuery) {
      return this[ACTIVE];
    },
    set(this: DriverQuery, isActive: boolean) {
      this[ACTIVE] = isActive;
      if (isActive) this[TURN]?.began();
      else this[TURN]?.ended();
    },
  });
}

/** The same connections; what is asked through it and still runs when the signal aborts is cancelled in PostgreSQL. */
export function cancelledBy(sql: Sql, signal: AbortSignal): Sql {
  return new Proxy(sql, {
    apply: (target, self, args) => {
      const made: unknown = Reflect.apply(target as unknown as Callable, self, args);
      if (made instanceof Promise) signal.addEventListener('abort', () => cancel(made as unknown as DriverQuery));
      return made;
    },
  });
}

/** A part of another statement is never sent by itself. */
function cancel(statement: DriverQuery): void {
  if (statement.executed) statement.cancel();
}
