import { join } from 'node:path';
import type { Sql } from '../../database/connect.ts';
import { projectRoot } from '../../lib/root.ts';
import { runFormatted } from '../../setup/logins.ts';
import { appliedTexts, seriesIn, type Side } from '../../setup/migrations.ts';

/** At the beginning of a line, to its semicolon: a grant, or what takes one of Readback's roles a right that it had. */
const GRANT = /^(?:grant [^;]+|revoke [^;]+ from readback_[^;]+);/gm;

/** Runs again every grant of the migrations that are applied: they alone say what a role may, and doing it twice is fine. */
export async function grantAgain(sql: Sql, side: Side, roles: string[]): Promise<void> {
  for (const role of roles) {
    const [existing] = await sql`select from pg_roles where rolname = ${role}`;
    if (!existing) await runFormatted(sql, 'create role %I nologin', role);
  }
  const { engine, project } = seriesIn(join(projectRoot, 'sql'), side);
  const texts = [...(await appliedTexts(sql, engine)), ...(await appliedTexts(sql, project))];
  for (const statement of texts.flatMap((text) => text.match(GRANT) ?? [])) await grantWhereThere(sql, statement);
}

/** A later migration may have dropped what an earlier one granted: SQLSTATE class 42, undefined something. */
async function grantWhereThere(sql: Sql, statement: string): Promise<void> {
  try {
    await sql.unsafe(statement);
  } catch (error) {
    if (!/^42(P01|703|883|704)$/.test((error as { code?: string }).code ?? '')) throw error;
  }
}
