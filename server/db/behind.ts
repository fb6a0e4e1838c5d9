import { AsyncLocalStorage } from 'node:async_hooks';
import type { Sql, Statement } from './connect.ts';
import { sendOn, type DriverConnection } from './observed.ts';

/** The driver's, as of `behind`: see infra/patches. */
interface DriverStatement {
  options: { behind?: (connection: DriverConnection) => void };
}

/**
 * The rows of a statement, and those of another one that goes right behind it over the same connection. Each has a Sync
 * of its own: the second runs when the first has committed, and fails or not by itself. A first one that is sent again, as
 * its plan is gone, has another second one behind it.
 * @throws PostgresError of the first; of the second, where the first has not failed.
 */
export async function withBehind<First extends object, Second extends object>(
  sql: Sql,
  first: Statement<First>,
  second: (sql: Sql) => Statement<Second>,
): Promise<[readonly First[], readonly Second[]]> {
  let sent: Promise<readonly Second[]> | undefined;
  // In the caller's context, which traces know it by.
  (first as unknown as DriverStatement).options.behind = AsyncLocalStorage.bind((connection: DriverConnection) => {
    sent = sendOn(connection, sql, second(sql));
    void sent.catch(() => {}); // the first says why
  });
  const rows = await first;
  return [rows, await sent!];
}
