import type { Sql } from './connect.ts';

interface Cancellable {
  /** The driver's: it was sent, or is about to be. A part of another statement never is. */
  executed?: boolean;
  cancel: () => unknown;
}

/** The same connections; what is asked through it and still runs when the signal aborts is cancelled in PostgreSQL. */
export function cancelledBy(sql: Sql, signal: AbortSignal): Sql {
  return new Proxy(sql, {
    apply: (target, self, args) => {
      const made: unknown = Reflect.apply(target as unknown as (...args: unknown[]) => unknown, self, args);
      if (made instanceof Promise) signal.addEventListener('abort', () => cancel(made as unknown as Cancellable));
      return made;
    },
  });
}

function cancel(statement: Cancellable): void {
  if (statement.executed) statement.cancel();
}
