import type { Table } from '../database/sql/table.ts';
import { Source } from './source.ts';

type ReadById<Row extends { id: string }> = Pick<Table<Row>, 'name' | 'byIds'>;

/** Rows by their id, null where there is none: one statement for all. */
export function byId<Row extends { id: string }>(table: ReadById<Row>): Source<string, Row | null> {
  return new Source(
    `${table.name} by id`,
    (id) => id,
    async (sql, ids) => {
      const { rows, seen } = await table.byIds(sql, ids);
      return { values: rows, seen };
    },
    'keys',
  );
}
