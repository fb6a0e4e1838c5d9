import type { Sql } from './connect.ts';

type Callable = (...args: unknown[]) => unknown;

/** What has come from where: PostgreSQL's errors do not say. */
const places = new WeakMap<object, string>();

/** Of an error, the server that it came from, as `named` was told of it. */
export const placeOf = (error: unknown): string | undefined =>
  typeof error === 'object' && error !== null ? places.get(error) : undefined;

/** The same connection, whose errors know their server. Where transactions are open on several, each tells of its own. */
export function named(sql: Sql, place: string): Sql {
  const note = (error: unknown) => {
    if (typeof error === 'object' && error !== null && !places.has(error)) places.set(error, place);
  };
  return new Proxy(sql, {
    apply: (target, self, args) => noting(Reflect.apply(target as unknown as Callable, self, args), note),
    get: (target, name) => {
      if (name === 'unsafe') return (...args: Parameters<Sql['unsafe']>) => noting(target.unsafe(...args), note);
      if (name === 'begin') return (...args: unknown[]) => begin(target, args, place, note);
      return Reflect.get(target, name) as unknown;
    },
  });
}

/** A query of the driver is rejected by its `reject`, before anybody who waits for it hears of it. */
function noting(made: unknown, note: (error: unknown) => void): unknown {
  if (!(made instanceof Promise)) return made;
  const query = made as unknown as { reject: (error: unknown) => void };
  const { reject } = query;
  query.reject = (error) => {
    note(error);
    reject(error);
  };
  return made;
}

async function begin(sql: Sql, args: unknown[], place: string, note: (error: unknown) => void): Promise<unknown> {
  const inside = args.map((arg) =>
    typeof arg === 'function' ? (transaction: Sql) => (arg as Callable)(named(transaction, place)) : arg,
  );
  try {
    return await (sql as unknown as { begin: Callable }).begin(...inside);
  } catch (error) {
    // The connection's own: it could not be made, or was lost.
    note(error);
    throw error;
  }
}
