import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sql } from '../../database/connect.ts';
import { SetupError } from '../../lib/errors.ts';

/** A table of the primary, in the words that the files about it are made of. */
export interface Definition {
  /** In SQL, such as order_items. */
  table: string;
  /** orderItem, OrderItem, orderItems. */
  one: string;
  type: string;
  many: string;
  /** Those that are sent to the replicas. */
  columns: Column[];
  /** Those that stay on the primary. */
  withheld: string[];
  /** All columns and constraints, for a database without the table. */
  ddl: string[];
}

export interface Column {
  /** In SQL and in code: created_at, createdAt. */
  name: string;
  field: string;
  type: string;
  kind: Kind;
  isNullable: boolean;
  hasDefault: boolean;
  parent: Parent | undefined;
}

/** What the column is the id of, and the field that has it: author of author_id. */
export interface Parent {
  field: string;
  table: string;
  type: string;
}

/** A type in GraphQL and in code, and what is said of a column of it. */
interface Kind {
  graphql: string;
  type: string;
  options: string[];
}

const KINDS: Record<string, Kind> = {
  uuid: { graphql: 'ID', type: 'string', options: [] },
  text: { graphql: 'String', type: 'string', options: ['length: [0, 20_000]'] },
  boolean: { graphql: 'Boolean', type: 'boolean', options: [] },
  integer: { graphql: 'Int', type: 'number', options: [] },
  'double precision': { graphql: 'Double', type: 'number', options: [] },
  'timestamp with time zone': { graphql: 'DateTime', type: 'string', options: [] },
};

/** Undefined for a type of which GraphQL and JSON have no exact form: someone must choose one. */
function kindOf(type: string): Kind | undefined {
  const length = /^character varying\((\d+)\)$/.exec(type)?.[1];
  return length === undefined ? KINDS[type] : { ...KINDS['text']!, options: [`length: [0, ${length}]`] };
}

interface Found {
  name: string;
  /** In SQL it must stand in quotes, as order must. */
  isQuoted: boolean;
  type: string;
  isNullable: boolean;
  default: string | null;
  isKey: boolean;
  /** The table that a foreign key of this column alone names. */
  references: string | null;
}

const SECRET = /password|secret|token|hash/;

export interface Wishes {
  /** Columns that stay on the primary, besides those whose names tell of a secret. */
  without: string[];
  /** What one row is called, where its name is not the table's without the s. */
  one: string | undefined;
}

/** @throws SetupError for a table that must be written by hand, with all that stands against it. */
export async function define(primary: Sql, table: string, wishes: Wishes, root: string): Promise<Definition> {
  const { columns, constraints } = await find(primary, table);
  const unknown = wishes.without.filter((name) => !columns.some((column) => column.name === name));
  if (unknown.length > 0)
    throw new SetupError(
      `${table}: --without names ${unknown.join(', ')}, and its columns are ${columns.map(({ name }) => name).join(', ')}.`,
    );
  const sent = columns.filter(({ name }) => !wishes.without.includes(name) && !SECRET.test(name));
  const one =
    wishes.one ??
    camel(
      table
        .replace(/ies$/, 'y')
        .replace(/(ss|x|z|ch|sh)es$/, '$1')
        .replace(/([^s])s$/, '$1'),
    );
  refuse(table, one, columns, sent);
  return {
    table,
    one,
    type: pascal(one),
    many: camel(table),
    columns: sent.map((column) => toColumn(column, root)),
    withheld: columns.filter((column) => !sent.includes(column)).map(({ name }) => name),
    ddl: [...columns.map(toDdl), ...constraints],
  };
}

async function find(primary: Sql, table: string): Promise<{ columns: Found[]; constraints: string[] }> {
  const [found] = await primary<[{ columns: Found[]; constraints: string[] }?]>`
    select (select json_agg(json_build_object(
        'name', attname, 'isQuoted', quote_ident(attname) <> attname, 'type', format_type(atttypid, atttypmod), 'isNullable', not attnotnull,
        'default', pg_get_expr(adbin, adrelid),
        'isKey', exists (select from pg_constraint where conrelid = c.oid and contype = 'p' and conkey = array[attnum]),
        'references', (select relname from pg_constraint join pg_class f on f.oid = confrelid
          where conrelid = c.oid and contype = 'f' and conkey = array[attnum] limit 1)
      ) order by attnum)
      from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
      where attrelid = c.oid and attnum > 0 and not attisdropped) as columns,
      array(select format('constraint %I %s', conname, pg_get_constraintdef(oid)) from pg_constraint
        where conrelid = c.oid and contype in ('p', 'u', 'f', 'c') order by contype = 'p' desc, conname) as constraints
    from pg_class c where relnamespace = 'public'::regnamespace and relkind = 'r' and relname = ${table}
      and quote_ident(relname) = relname`;
  if (found) return found;
  throw new SetupError(
    `The primary has no table ${table} in the schema public: create it there, under a name without quotes, then run this again.`,
  );
}

function refuse(table: string, one: string, columns: Found[], sent: Found[]): void {
  const has = (name: string, type: string) =>
    sent.some(
      (column) => column.name === name && column.type === type && !column.isNullable && column.default !== null,
    );
  const problems = [
    ...(columns.some(({ name, isKey }) => name === 'id' && isKey) && has('id', 'uuid')
      ? []
      : ['its primary key must be one column: id uuid default gen_random_uuid().']),
    ...(has('created_at', 'timestamp with time zone')
      ? []
      : ['its pages need an order: add created_at timestamptz not null default now().']),
    ...(one === camel(table) ? ['a row and the table cannot have one name: give the name of a row by --one.'] : []),
    ...columns
      .filter(({ isQuoted }) => isQuoted)
      .map(({ name }) => `${name} needs quotes in SQL: rename it, or write the files by hand.`),
    ...sent
      .filter(({ type }) => !kindOf(type))
      .map(
        ({ name, type }) =>
          `no exact GraphQL type is known for ${name} (${type}): leave it out by --without ${name}, or write the files by hand.`,
      ),
    ...columns
      .filter((column) => !sent.includes(column) && !column.isNullable && column.default === null)
      .map(({ name }) => `${name} stays on the primary, so no client could give it: it needs a default.`),
  ];
  if (problems.length > 0) throw new SetupError(problems.map((problem) => `${table}: ${problem}`).join('\n'));
}

function toColumn({ name, type, isNullable, default: value, references }: Found, root: string): Column {
  const parent = references !== null && name.endsWith('_id') ? parentOf(name, references, root) : undefined;
  return { name, field: camel(name), type, kind: kindOf(type)!, isNullable, hasDefault: value !== null, parent };
}

/** A table that is served already says in its own file what one of its rows is called. */
function parentOf(column: string, table: string, root: string): Parent | undefined {
  const file = join(root, declarationFile(table));
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const type = new RegExp(`@Table\\('${table}'.*?^export class (\\w+)`, 'ms').exec(text)?.[1];
  return type === undefined ? undefined : { field: camel(column.slice(0, -3)), table, type };
}

const toDdl = ({ name, type, isNullable, default: value }: Found) =>
  `${name} ${type}${isNullable ? '' : ' not null'}${value === null ? '' : ` default ${value}`}`;

const camel = (name: string) => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

export const pascal = (name: string) => name.charAt(0).toUpperCase() + name.slice(1);

export const kebab = (name: string) =>
  name.replaceAll('_', '-').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

export const declarationFile = (table: string) => `schema/tables/${kebab(table)}.ts`;
