import type { Sql } from '../database/connect.ts';

/** Does it in a transaction, which is taken back; returns what it came to. */
export async function rehearsed<T>(sql: Sql, work: (sql: Sql) => Promise<T>): Promise<T> {
  const undone = new Error('a rehearsal');
  let done: { value: T } | undefined;
  const rehearsal = sql.begin(async (transaction) => {
    done = { value: await work(transaction as unknown as Sql) }; // all that is asked of it are statements
    throw undone;
  });
  await rehearsal.catch((error: unknown) => {
    if (error !== undone) throw error;
  });
  return done!.value;
}
