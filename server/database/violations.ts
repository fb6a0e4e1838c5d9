import { tableNamed, type Declaration } from '../declare/declaration.ts';
import { ClientError, nothingHas } from '../lib/errors.ts';
import { badValue } from './errors.ts';
import { fieldName, type Sql } from './connect.ts';

/** SQLSTATEs. From PostgreSQL 18 on a key that says `on delete restrict` has one of its own. */
const UNIQUE = '23505';
const FOREIGN_KEY = '23503';
const RESTRICT = '23001';
const EXCLUSION = '23P01';
const NOT_NULL = '23502';
const CHECK = '23514';
const CODES = new Set([UNIQUE, FOREIGN_KEY, RESTRICT, EXCLUSION, NOT_NULL, CHECK]);

interface ViolationError {
  code: string;
  schema_name?: string;
  table_name?: string;
  constraint_name?: string;
  /** Of one that may not be null. */
  column_name?: string;
  /** The driver's note of the statement. */
  query?: string;
}

/** What its catalog says of it, as far as clients know of that: what is not published is the primary's own. */
interface Constraint {
  /** The table that has it: of a foreign key, the children's. null: clients do not know it. */
  table: string | null;
  columns: string[];
  /** The name by which it may be declared. */
  declared: string;
}

const UNKNOWN: Constraint = { table: null, columns: [], declared: '' };

/** True for what `told` tells: a constraint was broken of which the catalog knows the columns. */
export const isViolation = (error: unknown): error is ViolationError & Error =>
  CODES.has((error as ViolationError | undefined)?.code ?? '');

/** Whether who is told may know of a table; undefined: of one that the schema does not have. */
export type Knows = (table: Declaration | undefined) => boolean;

/** What a client is told of it, with the names of the schema that they may know. `sql` leads to where it happened. */
export async function told(error: ViolationError & Error, sql: Sql, knows: Knows): Promise<ClientError> {
  const found = await constraintOf(sql, error);
  const constraint = found && knows(tableNamed(found.declared)) ? found : UNKNOWN;
  const fields = constraint.columns.map((name) => fieldIn(constraint, name));
  if (error.code === NOT_NULL) return missing(fields[0], error);
  if (error.code === CHECK) return badValue(error, fields);
  if (error.code === UNIQUE || error.code === EXCLUSION) return taken(fields, error);
  if (error.code === RESTRICT || deletes(error)) return inUse(constraint, fields, error);
  return nothingHas(fields, error);
}

/** As the table's declaration has it. */
const fieldIn = ({ declared }: Constraint, name: string): string =>
  tableNamed(declared)?.columns.find((column) => column.name === name)?.field ?? fieldName(name);

/** Rows keep their ids, so only a delete can leave children without a parent: any other statement is the child's. */
const deletes = ({ query = '' }: ViolationError) => /^\s*delete\b/i.test(query);

/** Nothing is known of it where the primary does not say. Of a partition clients know the table that it is of. */
async function constraintOf(sql: Sql, error: ViolationError): Promise<Constraint | undefined> {
  const {
    schema_name: schema = '',
    table_name: table = '',
    constraint_name: name = '',
    column_name: column = '',
  } = error;
  const [found] = await sql<[(Constraint & { keyed: string[] | null })?]>`
    select p.tablename::text as table,
      case when p.schemaname = 'public' then quote_ident(p.tablename) else format('%I.%I', p.schemaname, p.tablename) end as declared, array_to_json(array(
      select a.attname::text from pg_attribute a
      where a.attrelid = c.oid and a.attname = any(p.attnames) and (a.attnum = any(k.conkey) or a.attname = ${column}
        or k.oid is null and (a.attnum = any(i.indkey) or 0 = any(i.indkey) and exists (
          select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
            and d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid and d.refobjsubid = a.attnum)))
      order by array_position(coalesce(k.conkey, i.indkey::int2[]), a.attnum), a.attnum)) as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    join (pg_class whole join pg_namespace its on its.oid = whole.relnamespace)
      on whole.oid = coalesce(pg_partition_root(c.oid), c.oid)
    join pg_publication_tables p on p.pubname = 'readback' and p.schemaname = its.nspname and p.tablename = whole.relname
    left join pg_constraint k on k.conrelid = c.oid and k.conname = ${name}
    left join (pg_index i join pg_class x on x.oid = i.indexrelid) on i.indrelid = c.oid and x.relname = ${name}
    where n.nspname = ${schema} and c.relname = ${table}`.catch(() => []);
  return found;
}

function taken(fields: string[], cause: Error): ClientError {
  const [field] = fields;
  if (field === undefined) return new ClientError('CONFLICT', 'A value is taken: choose another.', { cause });
  const message =
    fields.length === 1
      ? `This ${field} is taken: choose another.`
      : `This ${fields.join(' with this ')} is taken: change one of them.`;
  return new ClientError('CONFLICT', message, { field, cause });
}

function missing(field: string | undefined, cause: Error): ClientError {
  const message =
    field === undefined ? 'The table needs a value that this gives it none of.' : `${field} must have a value.`;
  return new ClientError('BAD_USER_INPUT', message, { field, cause });
}

function inUse({ table, declared }: Constraint, fields: string[], cause: Error): ClientError {
  const [field] = fields;
  const message =
    table === null
      ? 'Something still refers to this, so it stays.'
      : `There are ${tableNamed(declared)?.many ?? fieldName(table)} that still refer to this: delete those first${field === undefined ? '' : `, or give them another ${field}`}.`;
  return new ClientError('CONFLICT', message, { field: 'id', cause });
}
