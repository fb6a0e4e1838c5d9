import type { Sql, Statement } from './connect.ts';
import { observedOnHeld } from './observed.ts';

/** The driver's, as of `behind`: see infra/patches. */
interface DriverStatement {
  options: { behind?: (connection: { execute: (statement: unknown) => void }) => void };
}

/**
 * The rows of a statement, and those of another one that goes right after it over the same connection. Each has a Sync
 * of its own: the second runs when the first has committed, and fails or not by itself. A first one that is sent again, as
 * its plan is gone, has another second one after it.
 * @throws PostgresError of the first; of the second, where the first has not failed.
 */
export async function withBehind<First extends object, Second extends object>(
  sql: Sql,
  first: Statement<First>,
  second: (sql: Sql) => Statement<Second>,
): Promise<[readonly First[], readonly Second[]]> {
  const make = () => observedOnHeld(sql, second(sql));
  // Made here, in the caller's context, which traces know it by.
  const made = make();
  let sent: Statement<Second> | undefined;
  (first as unknown as DriverStatement).options.behind = (connection) => {
    sent = sent ? make() : made;
    void sent.catch(() => {}); // the first says why
    connection.execute(sent);
  };
  const rows = await first;
  return [rows, await sent!];
}
