import { expect } from 'vitest';
import type postgres from 'postgres';

const BACK_MS = 60_000;
/** Of a connection that broke or cannot be made, and of a server that stops or starts. */
const AWAY = /^(CONNECTION_|ECONN|EPIPE|57P0|08)/;

/**
 * Work on a server that may be stopped under it: then it resolves when the server is back, and whether the work was
 * done is not known.
 */
export async function despiteOutages(sql: postgres.Sql, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!AWAY.test((error as { code?: string }).code ?? '')) throw error;
    await expect.poll(() => answers(sql), { timeout: BACK_MS, message: 'the server answers again' }).toBe(true);
  }
}

const answers = (sql: postgres.Sql): Promise<boolean> =>
  sql`select`.then(
    () => true,
    () => false,
  );
