import 'reflect-metadata';
import { Field, ID, ObjectType, type ClassType } from 'type-graphql';
import { badInput, SetupError } from '../lib/errors.ts';
import { clientText, formOf, type DeclaredType, type Kind } from './kinds.ts';
import { checkRule, readRule } from './read-rule.ts';
import { Json } from './scalars.ts';
import { isAlways, ownersIn, type Clause, type Rule } from './rule.ts';

/** A scalar of GraphQL, one of JavaScript's classes that stand for one, an enum, or one of them in brackets: a list. */
export type Type = () => DeclaredType;

export interface ColumnOptions {
  /** In PostgreSQL; left out: the field's, with underscores. */
  name?: string;
  /** Its type there; left out: the one that comes to mind, such as text, uuid or timestamptz. */
  sql?: string;
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
  name?: string;
  nullable?: boolean;
  /** It is of the table's own key, too. */
  key?: boolean;
  /** The field that has the row. */
  as: string;
  /** The field of that row's type that has the rows which name it; left out: none. */
  many?: string;
}

/** A foreign key of several columns, or to other columns than the key, is no column: its field has the row that they name. */
interface RelationOptions {
  /** Fields of this class, */
  columns: readonly [string, ...string[]];
  /** and those of the other class that they name, in the same order; left out: its key. */
  references?: readonly [string, ...string[]];
  many?: string;
}

/** A foreign key, as both of its sides have it. */
export interface Relation {
  /** The field that has the row. */
  as: string;
  /** The field of that row's type that has the rows which name it; undefined: none. */
  many: string | undefined;
  to: () => object;
  columns: readonly DeclaredColumn[];
  /** What they name, in the same order. Not known before all tables are declared. */
  references: () => readonly DeclaredColumn[];
}

/** A column of a table, in the order of the class. */
export interface DeclaredColumn extends ColumnOptions {
  /** Its field, and its name in SQL. */
  field: string;
  name: string;
  type: Type;
  /** What gives its value: what is generated is the primary's alone. */
  kind: 'value' | 'generated' | 'reference';
  isKey: boolean;
  /** How its values go to and fro, and their type in PostgreSQL. */
  form: Kind;
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
  /** Fields that pages can be ordered by, each with an index that ends in the key; left out: the key. */
  orderBy?: readonly [string, ...string[]];
  rights?: TableRights;
  filter?: FilterOptions;
  /** What the project does itself, in a resolver of its own. */
  own?: readonly ('create' | 'update' | 'replace' | 'delete')[];
  /** Routes under /api, with fields in snake_case. */
  rest?: boolean;
  /** It is a view, which the primary and each replica have: it is read, and neither written nor followed. */
  view?: boolean;
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
  relations: readonly Relation[];
  /** In the order of the class. */
  key: readonly [DeclaredColumn, ...DeclaredColumn[]];
  /** The id is no column. */
  isIdApart: boolean;
  /** The key's text in PostgreSQL is the id. */
  isKeyText: boolean;
  /** It has numbers that JavaScript would cut. */
  isLong: boolean;
  orderBy: readonly DeclaredColumn[];
  own: ReadonlySet<string>;
  hasRest: boolean;
  isView: boolean;
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
const relationsOf = new WeakMap<object, (RelationOptions & Pick<Relation, 'as' | 'to'>)[]>();
const declarations = new Map<string, Declaration>();
const byType = new WeakMap<object, Declaration>();

/** A class of rows, with the table that they are in. */
export function Table(name: string, options: TableOptions = {}) {
  return <Row extends object>(type: abstract new (...args: never[]) => Row): void => {
    ObjectType()(type);
    const declaration = declare(name, options, type as unknown as ClassType<Row>);
    declarations.set(name, declaration);
    byType.set(type, declaration);
  };
}

export interface KeyOptions extends ColumnOptions {
  /** Clients give it; left out: the primary makes it. */
  given?: boolean;
}

/** The key, or a part of it, in the order of the class. As one text it is the field `id`. */
export const Key = (type: Type, { given = false, ...options }: KeyOptions = {}) =>
  column(given ? 'value' : 'generated', type, options, true);
/** What clients give. */
export const Column = (type: Type, options: ColumnOptions = {}) => column('value', type, options);
/** What the primary gives. */
export const Generated = (type: Type, options: ColumnOptions = {}) => column('generated', type, options);

/** The key of a row of another table; with `columns` the row itself, where it is known by several columns, or by others. */
export function BelongsTo(to: () => object, options: ReferenceOptions | RelationOptions): PropertyDecorator {
  return (target, field) => {
    if ('columns' in options) {
      relationsOf.set(target, [...(relationsOf.get(target) ?? []), { ...options, to, as: String(field) }]);
      return;
    }
    const { nullable, key: isKey = false, name } = options;
    add(target, {
      ...named(field, name),
      type: () => ID,
      kind: 'reference',
      nullable,
      isKey,
      get form() {
        return declarationOf(to() as ClassType).key[0].form;
      },
      reference: { ...options, to },
    });
  };
}

function column(kind: DeclaredColumn['kind'], type: Type, options: ColumnOptions, isKey = false): PropertyDecorator {
  return (target, property) => {
    const { name, sql, ...others } = options;
    const { field, ...sqlName } = named(property, name);
    const description = options.description ?? (options.read && 'Null where it is not yours to see');
    // JSON has a null of its own.
    const isNullable = options.nullable === true || options.read !== undefined || type() === Json;
    const shown = isKey && field === ID_FIELD ? () => ID : (type as () => StringConstructor);
    Field(shown, { nullable: nullableOf({ type }, isNullable), description })(target, field);
    add(target, {
      ...others,
      ...sqlName,
      field,
      type,
      kind,
      isKey,
      form: formOf(type(), sql),
      reference: undefined,
    });
  };
}

/** PostgreSQL's arrays may hold nulls. */
export function nullableOf(
  { type }: Pick<DeclaredColumn, 'type'>,
  isNullable: boolean,
): boolean | 'items' | 'itemsAndList' {
  if (!Array.isArray(type())) return isNullable;
  return isNullable ? 'itemsAndList' : 'items';
}

/** The field that has the whole key as one text. */
const ID_FIELD = 'id';

function add(target: object, made: ColumnSoFar): void {
  columnsOf.set(target, [...(columnsOf.get(target) ?? []), made]);
}

const named = (field: string | symbol, name = withUnderscores(String(field))) => ({ field: String(field), name });

const withUnderscores = (field: string) => field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** @throws SetupError where the class says what cannot be. */
function declare<Row extends object>(name: string, options: TableOptions, type: ClassType<Row>): Declaration<Row> {
  const soFar = columnsOf.get(type.prototype) ?? [];
  const clauseOf = (what: string, rule: Rule | undefined) =>
    rule && readRule(rule, { rule: placeOf({ type, name }, what), columns: soFar });
  const columns = soFar.map((column) => Object.assign(column, { sees: clauseOf(readOf(column), column.read) }));
  const of = (field: string) => columnOf(type.name, columns, field);
  const key = keyAmong(type.name, columns);
  const [first] = key;
  for (const column of columns) assertNamed(type.name, column);
  let isKeyText: boolean | undefined;
  let isLong: boolean | undefined;
  const isIdApart = first.field !== ID_FIELD || key.length > 1;
  if (isIdApart) Field(() => ID, { description: 'The key, as one text' })(type.prototype as object, ID_FIELD);
  const orderBy = options.orderBy?.map(of) ?? [...key];
  assertSeen(type.name, orderBy);
  return {
    type,
    name,
    ...namesOf(type.name, name, options),
    columns,
    key,
    isIdApart,
    // Not known yet of references, whose tables may be declared later.
    get isKeyText() {
      return (isKeyText ??= key.length === 1 && first.form.isText === true);
    },
    get isLong() {
      return (isLong ??= columns.some(({ form }) => form.isLong));
    },
    relations: relationsIn(type, columns, of),
    orderBy,
    own: new Set(options.own),
    hasRest: options.rest === true,
    isView: options.view === true,
    ...rightsOf(options.rights ?? {}, columns, clauseOf),
    filter: options.filter && filterOf(options.filter, of),
    descriptions: { create: options.create, update: options.update },
  };
}

const placeOf = ({ type, name }: Pick<Declaration, 'type' | 'name'>, what: string) =>
  `${type.name} (table ${name}), ${what}`;
const readOf = ({ field }: Pick<DeclaredColumn, 'field'>) => `read of ${field}`;

/** Foreign keys are what the keys are that they name. @throws SetupError where a rule compares one with what it cannot be. */
export function assertRules(table: Declaration): void {
  const references = table.columns
    .filter(({ reference }) => reference)
    .map((column) => ({ ...keyNamedBy(column), field: column.field }));
  const rules: [string, Clause | undefined][] = [
    ['rights.read', table.read],
    ['rights.write', table.write],
    ...table.columns.map((column): [string, Clause | undefined] => [readOf(column), column.sees]),
  ];
  for (const [what, clause] of rules)
    if (clause) checkRule(clause, { rule: placeOf(table, what), columns: references });
}

/** A key may be the key of another table in turn. */
function keyNamedBy(column: DeclaredColumn): DeclaredColumn {
  return column.reference ? keyNamedBy(declarationOf(column.reference.to() as ClassType).key[0]) : column;
}

function relation(
  { as, many, to, references }: Omit<RelationOptions, 'columns'> & Pick<Relation, 'as' | 'to'>,
  columns: readonly DeclaredColumn[],
): Relation {
  const named = () => {
    const other = declarationOf(to() as ClassType);
    const found: readonly (DeclaredColumn | undefined)[] =
      references?.map((field) => columnIn(other, field)) ?? other.key;
    if (found.length !== columns.length || found.includes(undefined))
      throw new SetupError(
        `${as}: expected as many fields of ${other.type.name} as columns, got: ${references?.join(', ') ?? 'its key'}`,
      );
    assertShown(as, found as readonly DeclaredColumn[]);
    return found as readonly DeclaredColumn[];
  };
  assertShown(as, columns);
  let known: readonly DeclaredColumn[] | undefined;
  return { as, many, to, columns, references: () => (known ??= named()) };
}

/** Whoever follows a relation learns of the columns that it goes by. */
function assertShown(as: string, columns: readonly DeclaredColumn[]): void {
  for (const { field, sees } of columns)
    if (sees)
      throw new SetupError(`${as}: expected columns that whoever sees the row sees, got: ${field}, which has read`);
}

const namesOf = (type: string, table: string, { one, many }: TableOptions) => ({
  one: one ?? type.charAt(0).toLowerCase() + type.slice(1),
  many: many ?? table.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()),
});

function rightsOf(
  rights: TableRights,
  columns: readonly DeclaredColumn[],
  clauseOf: (what: string, rule: Rule | undefined) => Clause | undefined,
): Pick<Declaration, 'read' | 'write' | 'owners'> {
  const read = clauseOf('rights.read', rights.read);
  const write = clauseOf('rights.write', rights.write);
  const rules = [read, write, ...columns.map(({ sees }) => sees)].filter((clause) => clause !== undefined);
  return { read, write, owners: [...new Set(rules.flatMap(ownersIn))] };
}

const relationsIn = (
  type: ClassType,
  columns: readonly DeclaredColumn[],
  of: (field: string) => DeclaredColumn,
): Declaration['relations'] => [
  ...columns.flatMap((column) => (column.reference ? [relation(column.reference, [column])] : [])),
  ...(relationsOf.get(type.prototype) ?? []).map((one) => relation(one, one.columns.map(of))),
];

function columnOf(type: string, columns: readonly DeclaredColumn[], field: string): DeclaredColumn {
  const found = columns.find((one) => one.field === field);
  if (found) return found;
  throw new SetupError(`${type}: ${field} is no column of it; those are ${columns.map((one) => one.field).join(', ')}`);
}

function keyAmong(type: string, columns: readonly DeclaredColumn[]): Declaration['key'] {
  const [first, ...others] = columns.filter(({ isKey }) => isKey);
  if (first) return [first, ...others];
  throw new SetupError(`${type}: expected a @Key, got none: mark the primary key, as in @Key(() => ID) id!: string`);
}

/** The values of an order stand in cursors, and the order tells of them. */
function assertSeen(type: string, orderBy: readonly DeclaredColumn[]): void {
  for (const { field, sees } of orderBy)
    if (sees) throw new SetupError(`${type}: pages cannot be ordered by ${field}, which not everybody sees`);
}

/** @throws Error for a field that answers of the driver would call something else, and for a type without a name. */
function assertNamed(type: string, column: DeclaredColumn): void {
  const { field, kind } = column;
  if (/._/.test(field)) throw new Error(`${type}: expected fields without underscores, such as line1, got: ${field}`);
  if (kind !== 'reference' && column.form.sql === '')
    throw new Error(`${type}: ${field} is of an enum: give its type in PostgreSQL, as in { sql: 'mood' }`);
}

/** A value of the column as clients have it, as one text; of a foreign key as the key has it. */
export const columnText = ({ type, reference }: DeclaredColumn, value: unknown): string =>
  reference ? columnText(declarationOf(reference.to() as ClassType).key[0], value) : clientText(type(), value);

/**
 * A row's key as one text: of one column the text of its value, of several the JSON array of these.
 * Rows and keys are compared by PostgreSQL; these texts are what clients hold.
 */
export function idOf({ key }: Declaration, row: object): string {
  const texts = key.map((column) => columnText(column, (row as Record<string, unknown>)[column.field]));
  return texts.length === 1 ? texts[0]! : JSON.stringify(texts);
}

/** The row that the columns of a relation name, by its id or, where that is not all that it names, by the texts of what it does. */
export interface Named {
  id?: string;
  texts: readonly string[];
}

/** Undefined: a column of it is null, so that it names none. */
export function namedBy({ columns, references, to }: Relation, row: object): Named | undefined {
  const named = references();
  const { key } = declarationOf(to() as ClassType);
  const clients = named.map((column, part) => {
    const value = (row as Record<string, unknown>)[columns[part]!.field];
    return value == null ? undefined : columnText(column, value);
  });
  const texts = named.map(({ form }, part) => (clients[part] === undefined ? undefined : form.parse(clients[part])));
  if (texts.includes(undefined)) return undefined;
  const places = key.map((column) => named.indexOf(column));
  if (places.length !== named.length || places.includes(-1)) return { texts: texts as string[] };
  const parts = places.map((place) => clients[place]!);
  return { id: parts.length === 1 ? parts[0]! : JSON.stringify(parts), texts: texts as string[] };
}

/** The texts of an id's columns, as PostgreSQL takes them; undefined where there can be no such key. */
export function keyIn({ key }: Declaration, id: string): string[] | undefined {
  const texts = key.length === 1 ? [id] : textsIn(id);
  const parsed = texts?.map((text, index) => key[index]?.form.parse(text));
  return parsed?.length === key.length && !parsed.includes(undefined) ? (parsed as string[]) : undefined;
}

/** The id, of one column in PostgreSQL's own spelling where that is known: a UUID in lower case, 42 for 042. */
export function parseId(table: Declaration, id: string): string {
  const { key } = table;
  const texts = keyIn(table, id);
  if (texts === undefined) throw badInput(`id must be ${formOfKey(key)}, got: ${id.slice(0, 50)}`, 'id');
  return key.length === 1 && key[0].form.isOneText ? texts[0]! : id;
}

function formOfKey(key: Declaration['key']): string {
  const forms = key.map(({ form }) => form.form);
  return forms.length === 1 ? forms[0]! : `a JSON array of texts: ${forms.join(', then ')}`;
}

function textsIn(id: string): string[] | undefined {
  try {
    const texts: unknown = JSON.parse(id);
    return Array.isArray(texts) && texts.every((text) => typeof text === 'string') ? texts : undefined;
  } catch {
    return undefined; // it is no id of several columns, which whoever sent it is told
  }
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

export const columnIn = ({ columns }: Pick<Declaration, 'columns'>, field: string): DeclaredColumn | undefined =>
  columns.find((column) => column.field === field);

/** By its name in SQL. */
export const tableNamed = (name: string): Declaration | undefined => declarations.get(name);
export const allTables = (): Declaration[] => [...declarations.values()];
/** Those whose changes are told: a view's are its tables'. */
export const followedTables = (): Declaration[] => allTables().filter(({ isView }) => !isView);

/** Whether everybody who may ask for the table sees all of its rows. */
export const isAllVisible = ({ read }: Declaration): boolean => read !== undefined && isAlways(read);
