import type { Sql, Statement } from '../connect.ts';
import { arrayText } from '../../declare/kinds.ts';
import { identifier } from './columns.ts';

/** A value that a statement was given for a column of its table. */
export interface Given {
  /** What clients gave it as. */
  field: string;
  /** In SQL. */
  column: string;
  /** As the statement's parameter has it. */
  text: string;
}

/** One of them that PostgreSQL refuses. */
export interface Refused {
  place: number;
  /** Its type, where that is PostgreSQL's own; null: clients do not know it. */
  type: string | null;
}

/**
 * The first of them that the type of its column refuses with this code, by the input functions that the statement had it
 * read by. Fails before PostgreSQL 16, which tells of no value without the statement.
 */
export const firstRefused = (sql: Sql, table: string, given: readonly Given[], code: string): Statement<Refused> => sql<
  Refused[]
>`
  select g.place::int - 1 as place,
    case when t.typnamespace = 'pg_catalog'::regnamespace then format_type(a.atttypid, a.atttypmod) end as type
  from unnest(${arrayText(given.map(({ column }) => column))}::text[], ${arrayText(given.map(({ text }) => text))}::text[])
    with ordinality g(name, text, place)
  join pg_attribute a on a.attrelid = to_regclass(${identifier(table)}) and a.attname = g.name
  join pg_type t on t.oid = a.atttypid
  cross join lateral pg_input_error_info(g.text, format_type(a.atttypid, a.atttypmod)) e
  where e.sql_error_code = ${code} order by g.place limit 1`;
