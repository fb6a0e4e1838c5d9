import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sql } from '../../database/connect.ts';
import { projectRoot } from '../../lib/root.ts';
import type { Side } from '../../setup/servers.ts';

/** A grant at the beginning of a line, to its semicolon. */
const GRANT = /^grant [^;]+;/gm;

/** Runs again every grant of the migrations that are applied: they alone say what a role may, and granting twice is fine. */
export async function grantAgain(sql: Sql, side: Side): Promise<void> {
  const applied = await sql<{ version: number }[]>`select version::int from readback.migrations`;
  const versions = new Set(applied.map(({ version }) => version));
  for (const statement of grantsIn(join(projectRoot, 'sql', side), versions)) await grantWhereThere(sql, statement);
}

function grantsIn(folder: string, versions: Set<number>): string[] {
  const files = readdirSync(folder).filter((file) => versions.has(parseInt(file, 10)));
  return files.toSorted().flatMap((file) => readFileSync(join(folder, file), 'utf8').match(GRANT) ?? []);
}

/** A later migration may have dropped what an earlier one granted: SQLSTATE class 42, undefined something. */
async function grantWhereThere(sql: Sql, statement: string): Promise<void> {
  try {
    await sql.unsafe(statement);
  } catch (error) {
    if (!/^42(P01|703|883|704)$/.test((error as { code?: string }).code ?? '')) throw error;
  }
}
