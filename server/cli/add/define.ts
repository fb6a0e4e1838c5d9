import { whatBreaks } from '../../setup/breaking.ts';
import { camel, namesOf, pascal, type Names, type Taken } from './names.ts';
import type { Found, FoundColumn } from './catalog.ts';

/** A table as its files say it. */
export interface Definition extends Names {
  found: Found;
  columns: Column[];
  key: Column[];
  /** Those that stay on the primary, and why. */
  withheld: { name: string; why: string }[];
  enums: Enum[];
  /** Clients could not give all that a row must have. */
  isReadOnly: boolean;
  /** By what pages are ordered, besides the key. */
  orderBy: Column[];
  /** Foreign keys of several columns, and those to other columns than the key. */
  relations: Relation[];
  /** Columns by which rows of other tables name those of this one, besides the key. */
  named: string[][];
}

export interface Relation {
  columns: Column[];
  /** The columns that those name, and their fields; null: the key. */
  targets: string[];
  references: string[] | null;
  /** The replicas have yet to get an index on what it names. */
  isUnindexed: boolean;
  parent: Parent;
}

export interface Column {
  found: FoundColumn;
  field: string;
  isKey: boolean;
  /** In TypeScript, of its field. */
  code: string;
  /** In a declaration: String, [Int], Mood. */
  type: string;
  options: string[];
  how: 'Key' | 'Column' | 'Generated' | 'BelongsTo';
  parent?: Parent;
}

export interface Parent {
  table: string;
  type: string;
  as: string;
  many: string;
}

/** An enum of the database: what clients call its labels. */
export interface Enum {
  name: string;
  labels: [name: string, label: string][];
}

export interface Choices {
  /** Columns that stay on the primary, besides those whose names tell of a secret. */
  without: readonly string[];
  /** Columns that are sent, whatever their names tell. */
  send: readonly string[];
  /** What one row is called. */
  one?: string | undefined;
}

/** A type in GraphQL and in code. */
type Form = [graphql: string, code: string];

const TEXT: Form = ['String', 'string'];
const FORMS: Record<string, Form> = {
  uuid: ['Uuid', 'string'],
  smallint: ['Int', 'number'],
  integer: ['Int', 'number'],
  bigint: ['BigInt', 'string'],
  numeric: ['Decimal', 'string'],
  real: ['Double', 'number'],
  'double precision': ['Double', 'number'],
  boolean: ['Boolean', 'boolean'],
  'timestamp with time zone': ['DateTime', 'string'],
  'timestamp without time zone': ['LocalDateTime', 'string'],
  date: ['Day', 'string'],
  'time without time zone': ['Time', 'string'],
  'time with time zone': ['TimeTz', 'string'],
  interval: ['Interval', 'string'],
  json: ['Json', 'unknown'],
  jsonb: ['Json', 'unknown'],
  bytea: ['Bytes', 'string'],
};

/** Types of PostgreSQL that the declared type stands for by itself. */
const USUAL: Record<string, string> = {
  Uuid: 'uuid',
  ID: 'uuid',
  Int: 'integer',
  BigInt: 'bigint',
  Decimal: 'numeric',
  Double: 'double precision',
  Boolean: 'boolean',
  DateTime: 'timestamp with time zone',
  LocalDateTime: 'timestamp without time zone',
  Day: 'date',
  Time: 'time without time zone',
  TimeTz: 'time with time zone',
  Interval: 'interval',
  Json: 'jsonb',
  Bytes: 'bytea',
  String: 'text',
};

const SECRET =
  /(?:^|_)(?:passwords?|passwd|pwd|secrets?|tokens?|hash|digest|salt|credentials?|(?:api|private|access|secret)_?key)(?:_|$)/i;
/** What holds a secret is text or bytes; a date or a number that is about one is none. */
const HOLDS_SECRETS = new Set(['text', 'character varying', 'character', 'bytea', 'citext', 'json', 'jsonb']);

const isSecret = ({ name, base }: FoundColumn) =>
  SECRET.test(name.replace(/([a-z])([A-Z])/g, '$1_$2')) && HOLDS_SECRETS.has(base);

/** Why a table cannot be served as it is; nothing where it can. */
export function obstaclesOf(table: Found, choices: Choices): string[] {
  const withheld = table.columns.filter((column) => withheldBy(table, column, choices));
  const names = table.columns.map(({ name }) => name);
  return [
    ...choices.without
      .filter((name) => !names.includes(name))
      .map((name) => `--without names ${name}, and its columns are ${names.join(', ')}.`),
    ...whatBreaks(
      table,
      withheld.map(({ name }) => name),
    ),
    ...withheld
      .filter(({ name }) => table.key?.includes(name))
      .map((column) => {
        const why = withheldBy(table, column, choices);
        return why === ASKED
          ? `${column.name} is of its key, and stays on the primary: leave it out of --without.`
          : `${column.name} is of its key, and ${why}.`;
      }),
  ];
}

const GENERATED = 'generated, which PostgreSQL does not send to every version';
/**
 * A replica computes it itself, as PostgreSQL does not send it to every version: of what is sent, by what every database
 * has. With the whole row as identity PostgreSQL 18 would refuse updates.
 */
const isComputed = (table: Found, { name, reads }: FoundColumn, choices: Choices): boolean =>
  table.identities.every(({ kind, columns }) => kind !== 'f' && columns?.includes(name) !== true) &&
  table.key?.includes(name) !== true &&
  reads?.every((read) => {
    const column = table.columns.find((one) => one.name === read);
    return column !== undefined && !column.isGenerated && withheldBy(table, column, choices) === undefined;
  }) === true;

const ASKED = 'asked for';
const SECRET_NAME = 'its name tells of a secret';
const OBJECTS = 'a list of what has several parts, which change events have in no form that PostgreSQL takes';

function withheldBy(table: Found, column: FoundColumn, choices: Choices): string | undefined {
  const { key } = table;
  const { without, send } = choices;
  if (without.includes(column.name)) return ASKED;
  if (column.isGenerated && !isComputed(table, column, choices)) return GENERATED;
  if (column.isOfObjects) return OBJECTS;
  return isSecret(column) && !send.includes(column.name) && !key?.includes(column.name) ? SECRET_NAME : undefined;
}

/** Names are given by rule, so that the same tables have the same names wherever they are added. */
export function nameTables(tables: readonly Found[], taken: Taken, one?: string): Names[] {
  const bare = Map.groupBy(tables, (table) => namesOf(table.bare).type);
  return tables.map((table) => {
    const isTwice = bare.get(namesOf(table.bare).type)!.length > 1 && table.schema !== 'public';
    const name = isTwice ? `${table.schema}_${table.bare}` : table.bare;
    const wanted = namesOf(name, one);
    const row = namesOf(name, `${wanted.one}Row`);
    const choices = [
      wanted,
      row,
      ...[2, 3, 4, 5, 6, 7, 8, 9].map((number) => namesOf(name, `${wanted.one}Row${number}`)),
    ];
    const withSchema = namesOf(`${table.schema}_${table.bare}`);
    const free = [wanted, ...(isTwice || table.schema === 'public' ? [] : [withSchema]), ...choices.slice(1)];
    return taken.take(free.map((names) => clearOf(names, taken)).find((names) => taken.isFree(names))!);
  });
}

/** Of a list whose name something else has. */
const clearOf = (names: Names, taken: Taken): Names =>
  taken.isFree(names)
    ? names
    : taken.isFree({ ...names, many: `${names.one}List` })
      ? { ...names, many: `${names.one}List` }
      : names;

/** Types of rows by tables: those that are served already, and those that are added now. */
export type Types = ReadonlyMap<string, string>;

export function define(found: Found, names: Names, types: Types, taken: Taken, choices: Choices): Definition {
  const withheld = found.columns.flatMap((column) => {
    const why = withheldBy(found, column, choices);
    return why === undefined ? [] : [{ name: column.name, why }];
  });
  const sent = found.columns.filter(({ name }) => !withheld.some((one) => one.name === name));
  const key = found.key!;
  const enums: Enum[] = [];
  const fields = new Set<string>(['id']);
  const making = { table: found, names, types, taken, enums, fields };
  const columns = sent.map((column) => columnOf(making, column));
  const byKey = key.map((name) => columns.find((column) => column.found.name === name)!);
  nameRelations(columns, names, fields);
  const missing = found.columns.filter(
    ({ name, isNullable, default: value, isIdentity, isGenerated }) =>
      withheld.some((one) => one.name === name) && !isNullable && value === null && !isIdentity && !isGenerated,
  );
  return {
    ...names,
    found,
    // The key's own columns come first, in its order.
    columns: [...byKey, ...columns.filter((column) => !byKey.includes(column))],
    key: byKey,
    withheld,
    enums,
    isReadOnly: missing.length > 0,
    orderBy: columns.filter(
      ({ found: { name, base, isNullable } }) => name === 'created_at' && base.startsWith('timestamp') && !isNullable,
    ),
    relations: [],
    named: [],
  };
}

/** A table that others may name: one that is defined now, or served already. */
export interface Named {
  type: string;
  one: string;
  /** In SQL, in the key's order. */
  key: string[];
  /** Its fields, by their columns. */
  fields: ReadonlyMap<string, string>;
}

/**
 * Foreign keys of several columns and to columns that are not the key, once all tables have their fields. Where the other
 * side is not served, or keeps such a column to itself, its columns are plain fields.
 */
export function relate(definition: Definition, tables: ReadonlyMap<string, Named>): void {
  const { found, columns, relations } = definition;
  const fields = new Set(['id', ...columns.flatMap(({ field, parent }) => [field, parent?.as ?? field])]);
  for (const { columns: names, table, targets, isToKey } of found.references) {
    const parent = tables.get(table);
    const own = names.map((name) => columns.find((column) => column.found.name === name));
    const references = targets.map((target) => parent?.fields.get(target));
    const isOfColumn = names.length === 1 && isToKey;
    if (isOfColumn || !parent || own.includes(undefined) || references.includes(undefined)) continue;
    const wanted = relationName(names, targets) ?? parent.one;
    const as = relationField(wanted, fields);
    const isOnly = found.references.filter((other) => other.table === table).length === 1;
    const many = isOnly ? definition.many : `${definition.many}By${pascal(as)}`;
    const isKey = targets.join() === parent.key.join();
    relations.push({
      columns: own as Column[],
      targets,
      references: isKey ? null : (references as string[]),
      isUnindexed: !isKey,
      parent: { table, type: parent.type, as, many },
    });
  }
}

/** `from` of from_country and from_code, which name country and code. */
function relationName(names: readonly string[], targets: readonly string[]): string | undefined {
  const starts = names.map((name, part) =>
    name.toLowerCase().endsWith(`_${targets[part]!.toLowerCase()}`) ? name.slice(0, -targets[part]!.length - 1) : '',
  );
  const [start = ''] = starts;
  return start !== '' && starts.every((one) => one === start) ? camel(start) : undefined;
}

/** What the columns of one table have in common. */
interface Making {
  table: Found;
  names: Names;
  types: Types;
  taken: Taken;
  enums: Enum[];
  /** Those that are given away. */
  fields: Set<string>;
}

function columnOf(making: Making, found: FoundColumn): Column {
  const { table, types, fields } = making;
  const isKey = table.key!.includes(found.name);
  const isId = found.name === 'id' && isKey && table.key!.length === 1;
  const field = isId ? 'id' : freeField(fieldOf(found.name), fields);
  const [form, code] = formOf(making, found);
  const type = isId && form === 'Uuid' ? 'ID' : form;
  const reference = table.references.find(
    ({ columns, isToKey, table: to }) => columns.length === 1 && columns[0] === found.name && isToKey && types.has(to),
  );
  const isNullable = found.isNullable && !isKey;
  const column = { found, field, isKey, code: isNullable ? orNull(code) : code, type };
  const named = withUnderscores(field) === found.name ? [] : [`name: ${literal(found.name)}`];
  const nullable = isNullable ? ['nullable: true'] : [];
  if (reference) {
    const parentType = types.get(reference.table)!;
    const as = parentName(found.name, reference.targets[0]!, parentType);
    const parent = { table: reference.table, type: parentType, as, many: '' };
    return { ...column, how: 'BelongsTo', parent, options: [...named, ...nullable, ...(isKey ? ['key: true'] : [])] };
  }
  const options = [...named, ...(isUsual(type, found) ? [] : [`sql: ${literal(found.type)}`]), ...nullable];
  const isMade = found.isGenerated || found.isIdentity || (found.default !== null && !found.isConstant);
  if (isKey)
    return { ...column, how: 'Key', options: [...options, ...bounds(found), ...(isMade ? [] : ['given: true'])] };
  if (isMade) return { ...column, how: 'Generated', options };
  const hasDefault = found.isConstant ? ['hasDefault: true'] : [];
  return { ...column, how: 'Column', options: [...options, ...bounds(found), ...hasDefault] };
}

/** The declared type stands for that of the column by itself. */
function isUsual(declared: string, { type, dimensions }: FoundColumn): boolean {
  const usual = USUAL[declared.replace(/[[\]]/g, '')];
  const bare = dimensions > 0 ? type.replace(/\[\]$/, '') : type;
  const isVarying = usual === 'text' && dimensions === 0 && bare.startsWith('character varying');
  return usual !== undefined && (usual === bare || isVarying);
}

function bounds({ type }: FoundColumn): string[] {
  const length = /^character varying\((\d+)\)$/.exec(type)?.[1];
  return length === undefined ? [] : [`length: [0, ${length}]`];
}

function formOf(making: Making, { base, labels, dimensions, name }: FoundColumn): Form {
  const bare = dimensions > 0 ? base.replace(/\[\]$/, '') : base;
  const [type, code] = labels ? enumOf(making, name, labels) : (FORMS[bare] ?? TEXT);
  if (dimensions === 0) return [type, code];
  const element = code === 'unknown' ? code : `(${orNull(code)})`;
  return [`${'['.repeat(dimensions)}${type}${']'.repeat(dimensions)}`, `${element}${'[]'.repeat(dimensions)}`];
}

/** What is not known may be null already. */
const orNull = (code: string) => (code === 'unknown' ? code : `${code} | null`);

/** Labels that are no names of GraphQL are told by names of their own. */
function enumOf({ names: { type }, taken, enums }: Making, column: string, labels: readonly string[]): Form {
  const same = enums.find((one) => one.labels.map(([, label]) => label).join('\0') === labels.join('\0'));
  if (same) return [same.name, 'string'];
  const used = new Set<string>();
  const name = taken.takeType(`${type}${pascal(column)}`);
  enums.push({ name, labels: labels.map((label) => [labelName(label, used), label]) });
  return [name, 'string'];
}

function labelName(label: string, used: Set<string>): string {
  const plain = label.replace(/[^A-Za-z0-9]+/g, '_').toUpperCase() || '_';
  const name =
    /^[0-9]/.test(plain) || /^(?:TRUE|FALSE|NULL)$/.test(plain) || plain.startsWith('__')
      ? `_${plain.replace(/^_+/, '')}`
      : plain;
  let free = name;
  // GraphQL keeps names that begin with two underscores.
  for (let number = 2; used.has(free); number++) free = `${name.replace(/_$/, '')}_${number}`;
  used.add(free);
  return free;
}

const withUnderscores = (field: string) => field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** A field of a class and of GraphQL. `id` is the key as one text. */
function fieldOf(column: string): string {
  if (column === 'id') return 'rowId';
  const field = camel(column);
  return isNoField(field) ? `${field}Value` : field;
}

/** All objects have one of that name, or all classes, or what is waited for; or it is no name. */
const isNoField = (field: string) => field in Object.prototype || ['prototype', 'then', '_'].includes(field);

function freeField(field: string, fields: Set<string>): string {
  let free = field;
  for (let number = 2; fields.has(free); number++) free = `${field}${number}`;
  fields.add(free);
  return free;
}

const relationField = (wanted: string, fields: Set<string>) =>
  freeField(fields.has(wanted) || isNoField(wanted) ? `${wanted}Row` : wanted, fields);

/** `author` of `author_id`, `boss` of `boss`; by its type where the column is called like the key that it names. */
function parentName(column: string, target: string, type: string): string {
  const bare = column.replace(/_?(?:id|ID|Id|uuid|no|key|code)$/, '');
  return bare === '' || column === target ? namesOf(type).one : camel(bare);
}

/** What several columns name is told apart by them. A column keeps its own name: `bossRow` is the row of `boss`. */
function nameRelations(columns: readonly Column[], names: Names, fields: Set<string>): void {
  const children = columns.filter((column) => column.parent !== undefined);
  for (const column of children) {
    const parent = column.parent!;
    parent.as = relationField(parent.as, fields);
    const isOne = children.filter((other) => other.parent!.table === parent.table).length === 1;
    parent.many = isOne ? names.many : `${names.many}By${pascal(parent.as)}`;
  }
}

/** A text in code. */
export const literal = (text: string) =>
  `'${JSON.stringify(text)
    .slice(1, -1)
    .replace(/\\"|'/g, (quote) => (quote === "'" ? "\\'" : '"'))}'`;
