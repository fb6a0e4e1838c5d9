import { join } from 'node:path';
import Postgrator from 'postgrator';
import { columnName, type Fragment } from '../db/connect.ts';
import { SetupError } from '../lib/errors.ts';
import { projectRoot } from '../lib/root.ts';
import type { Server } from './requirements.ts';

/**
 * Applies what is new under sql/primary or sql/replica, all in one transaction under an advisory lock: two that start
 * at once take turns, and a failure leaves nothing behind. Returns the names of the files applied.
 */
export async function migrate(server: Server, side: 'primary' | 'replica'): Promise<string[]> {
  try {
    return await server.admin.begin(async (sql) => {
      await sql`set local lock_timeout = '60s'`;
      await sql`select pg_advisory_xact_lock(hashtextextended('readback.migrations', 0))`;
      const applied = await migrator(side, (query) => sql.unsafe(query)).migrate();
      return applied.map(({ version, name }) => `${String(version).padStart(4, '0')} ${name}`);
    });
  } catch (error) {
    throw new SetupError(
      `${server.name} (${server.at}): its tables could not be brought up to date, and nothing was changed: ${(error as Error).message}`,
    );
  }
}

function migrator(side: string, run: (query: string) => Fragment): Postgrator {
  return new Postgrator({
    driver: 'pg',
    migrationPattern: join(projectRoot, 'sql', side, '*.do.*.sql'),
    schemaTable: 'readback.migrations',
    execQuery: async (query) => ({ rows: (await run(query)).map(asNamed) }),
    execSqlScript: async (query) => void (await run(query)),
  });
}

/** Postgrator looks for the columns' own names. */
const asNamed = (row: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(row).map(([name, value]) => [columnName(name), value]));
