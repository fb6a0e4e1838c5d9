import { mayBeOfValue, refusedValue } from '../../database/errors.ts';
import { firstRefused } from '../../database/sql/refused.ts';
import type { Table } from '../../database/sql/table.ts';
import { asClientError } from '../../lib/errors.ts';
import type { Context } from './context.ts';

/** What a statement of a table is given. */
interface GivenTo {
  table: Pick<Table<never>, 'name' | 'given'>;
  /** By their fields. */
  values?: object | undefined;
  id?: string;
}

/** What comes of the work. What it fails with has the name of the field whose value PostgreSQL refuses. */
export async function naming<T>(context: Context, given: GivenTo, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw await named(error, context, given);
  }
}

/** The error itself where it has a field, or where the primary does not know which one it is. */
async function named(error: unknown, { services: { primary } }: Context, given: GivenTo): Promise<unknown> {
  const told = asClientError(error);
  const cause = told?.originalError;
  if (!cause || told.field !== undefined || !mayBeOfValue(cause) || !primary.reachable) return error;
  const { table, values = {}, id } = given;
  const texts = table.given(values, id);
  const { code } = cause as Error & { code: string };
  const [found] = await primary.answer(firstRefused(primary.reader, table.name, texts, code)).catch(() => []);
  if (!found) return error;
  const { field, text } = texts[found.place]!;
  return refusedValue(cause, field, text, found.type);
}
