import 'reflect-metadata';
import { Field, ObjectType, type ClassType } from 'type-graphql';
import { SetupError } from '../lib/errors.ts';
import { DateTime, type Scalar } from './scalars.ts';
import { readRule } from './read-rule.ts';
import { isAlways, ownersIn, type Clause, type Rule } from './rule.ts';

export interface ColumnOptions {
  nullable?: boolean;
  description?: string;
  /** Who sees it of a row that they see; left out: all of them. Others are answered null. */
  read?: Rule;
  /** Texts: fewest and most characters, as PostgreSQL counts them. */
  length?: readonly [least: number, most: number];
  /** Texts of one line. */
  line?: boolean;
  /** The primary gives it where clients do not. */
  hasDefault?: boolean;
  /** Further rules for what clients give, from class-validator or declare/rules. */
  rules?: readonly PropertyDecorator[];
}

interface ReferenceOptions {
  nullable?: boolean;
  /** The field that has the row. */
  as: string;
  /** The field of that row's type that has the rows which name it; left out: none. */
  many?: string;
}

/** A column of a table, in the order of the class. */
export interface DeclaredColumn extends ColumnOptions {
  /** Its field, and its name in SQL. */
  field: string;
  name: string;
  type: Scalar;
  /** What gives its value: the table's key and what is generated are the primary's alone. */
  kind: 'key' | 'value' | 'generated' | 'reference';
  /** Of a timestamptz, which images have in PostgreSQL's form. */
  isTime: boolean;
  sees: Clause | undefined;
  reference: (ReferenceOptions & { to: () => object }) | undefined;
}

/** Who may what with rows. What is left out is for administrators. */
export interface TableRights {
  /** The rows that whoever is signed in may read. */
  read?: Rule;
  /** The rows, as they are and as they become, that may be written. */
  write?: Rule;
}

/** What pages of the table can be filtered by. */
export interface FilterOptions {
  /** A prefix of one of these texts, upper or lower case alike. */
  search?: { columns: readonly string[]; description: string };
  /** Columns by their value, or other names by whether a column has one. */
  by?: Readonly<Record<string, true | { isGiven: string; description?: string }>>;
}

export interface TableOptions {
  /** What one row is called; left out: the name of the class, with a small letter. */
  one?: string;
  /** The field that has pages of them; left out: the table's name, in camelCase. */
  many?: string;
  /** Fields that pages can be ordered by, never null, each with an index that ends in the key. */
  orderBy: readonly [string, ...string[]];
  rights?: TableRights;
  filter?: FilterOptions;
  /** What the project does itself, in a resolver of its own. */
  own?: readonly ('create' | 'update' | 'replace' | 'delete')[];
  /** Routes under /api, with fields in snake_case. */
  rest?: boolean;
  /** Descriptions of the inputs. */
  create?: string;
  update?: string;
}

export interface DeclaredFilter {
  search: { columns: readonly DeclaredColumn[]; description: string } | undefined;
  by: readonly { name: string; column: DeclaredColumn; isGiven: boolean; description: string | undefined }[];
}

/** All that Readback knows of a table: what its class says, worked out once. */
export interface Declaration<Row extends object = object> {
  type: ClassType<Row>;
  /** In SQL. */
  name: string;
  one: string;
  many: string;
  columns: readonly DeclaredColumn[];
  key: DeclaredColumn;
  orderBy: readonly DeclaredColumn[];
  own: ReadonlySet<string>;
  hasRest: boolean;
  /** Undefined: administrators alone. */
  read: Clause | undefined;
  write: Clause | undefined;
  /** Fields that say whose a row is: what a rule compares with the viewer. */
  owners: readonly string[];
  filter: DeclaredFilter | undefined;
  descriptions: { create: string | undefined; update: string | undefined };
}

/** Its rule is read once all columns are known, which it may name. */
type ColumnSoFar = Omit<DeclaredColumn, 'sees'>;

const columnsOf = new WeakMap<object, ColumnSoFar[]>();
const declarations = new Map<string, Declaration>();
const byType = new WeakMap<object, Declaration>();

/** A class of rows, with the table that they are in. */
export function Table(name: string, options: TableOptions) {
  return <Row extends object>(type: abstract new (...args: never[]) => Row): void => {
    ObjectType()(type);
    const declaration = declare(name, options, type as unknown as ClassType<Row>);
    declarations.set(name, declaration);
    byType.set(type, declaration);
  };
}

/** The key: the primary makes it. */
export const Key = (type: Scalar) => column('key', type, {});
/** What clients give. */
export const Column = (type: Scalar, options: ColumnOptions = {}) => column('value', type, options);
/** What the primary gives. */
export const Generated = (type: Scalar, options: ColumnOptions = {}) => column('generated', type, options);

/** The key of a row of another table. */
export function BelongsTo(to: () => object, options: ReferenceOptions): PropertyDecorator {
  return (target, field) => {
    const { nullable } = options;
    add(target, {
      ...named(field),
      type: () => String,
      kind: 'reference',
      nullable,
      isTime: false,
      reference: { ...options, to },
    });
  };
}

function column(kind: DeclaredColumn['kind'], type: Scalar, options: ColumnOptions): PropertyDecorator {
  return (target, field) => {
    const description = options.description ?? (options.read && 'Null where it is not yours to see');
    const nullable = options.nullable === true || options.read !== undefined;
    Field(type as () => StringConstructor, { nullable, description })(target, field);
    add(target, { ...options, ...named(field), type, kind, isTime: type() === DateTime, reference: undefined });
  };
}

function add(target: object, made: ColumnSoFar): void {
  columnsOf.set(target, [...(columnsOf.get(target) ?? []), made]);
}

const named = (field: string | symbol) => ({
  field: String(field),
  name: String(field).replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
});

/** @throws SetupError where the class says what cannot be. */
function declare<Row extends object>(name: string, options: TableOptions, type: ClassType<Row>): Declaration<Row> {
  const soFar = columnsOf.get(type.prototype) ?? [];
  const clauseOf = (what: string, rule: Rule | undefined) =>
    rule && readRule(rule, { rule: `${type.name} (table ${name}), ${what}`, columns: soFar });
  const columns = soFar.map((column) => ({ ...column, sees: clauseOf(`read of ${column.field}`, column.read) }));
  const of = (field: string) => {
    const found = columns.find((one) => one.field === field);
    if (!found)
      throw new SetupError(
        `${type.name}: ${field} is no column of it; those are ${columns.map((one) => one.field).join(', ')}`,
      );
    return found;
  };
  const [key, ...others] = columns.filter(({ kind }) => kind === 'key');
  if (!key || others.length > 0)
    throw new SetupError(
      `${type.name}: expected one @Key, got ${key ? others.length + 1 : 'none'}: mark the primary key alone, as in @Key(() => ID) id!: string`,
    );
  const read = clauseOf('rights.read', options.rights?.read);
  const write = clauseOf('rights.write', options.rights?.write);
  const rules = [read, write, ...columns.map(({ sees }) => sees)].filter((clause) => clause !== undefined);
  const orderBy = options.orderBy.map(of);
  // Its values stand in cursors, and the order tells of them.
  for (const { field, sees } of orderBy)
    if (sees) throw new SetupError(`${type.name}: pages cannot be ordered by ${field}, which not everybody sees`);
  return {
    type,
    name,
    one: options.one ?? type.name.charAt(0).toLowerCase() + type.name.slice(1),
    many: options.many ?? name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()),
    columns,
    key,
    orderBy,
    own: new Set(options.own),
    hasRest: options.rest === true,
    read,
    write,
    owners: [...new Set(rules.flatMap(ownersIn))],
    filter: options.filter && filterOf(options.filter, of),
    descriptions: { create: options.create, update: options.update },
  };
}

function filterOf({ search, by = {} }: FilterOptions, of: (field: string) => DeclaredColumn): DeclaredFilter {
  return {
    search: search && { ...search, columns: search.columns.map(of) },
    by: Object.entries(by).map(([name, how]) =>
      how === true
        ? { name, column: of(name), isGiven: false, description: undefined }
        : { name, column: of(how.isGiven), isGiven: true, description: how.description },
    ),
  };
}

/** Of a class that has @Table. @throws SetupError for another. */
export function declarationOf<Row extends object>(type: ClassType<Row>): Declaration<Row> {
  const found = byType.get(type);
  if (!found) throw new SetupError(`${type.name} is no table: it lacks @Table`);
  return found as Declaration<Row>;
}

/** By its name in SQL. */
export const tableNamed = (name: string): Declaration | undefined => declarations.get(name);
export const allTables = (): Declaration[] => [...declarations.values()];

/** Whether everybody who may ask for the table sees all of its rows. */
export const isAllVisible = ({ read }: Declaration): boolean => read !== undefined && isAlways(read);
