import fc from 'fast-check';
import type postgres from 'postgres';
import { quoted } from '../../database/connect.ts';
import { anyType, keyType, TYPES_SQL, type RandomType } from './random-types.ts';

/** A table as it was drawn. */
export interface RandomTable {
  schema: string;
  bare: string;
  columns: RandomColumn[];
  key: string[];
  /** Columns that are unique, besides the key. */
  unique: string[];
  references: RandomReference[];
  /** What makes it. */
  ddl: string;
}

export interface RandomColumn {
  name: string;
  type: RandomType;
  /** Whether the primary makes it: no value is given then. */
  isMade: boolean;
  isNullable: boolean;
  /** How it stands in the table's definition. */
  definition: string;
  /** For each row. */
  values: (string | null)[];
}

export interface RandomReference {
  columns: string[];
  to: RandomTable;
  targets: string[];
  /** The row of the other table, for each row. */
  picks: number[];
}

export const sqlName = ({ schema, bare }: Pick<RandomTable, 'schema' | 'bare'>) => `${quoted(schema)}.${quoted(bare)}`;

const MOST_ROWS = 4;

/** Names that something has already, in GraphQL, in JavaScript, in SQL or in Readback, and those that need care there. */
const WORDS = `
  id ID Id row_id rowId RowId name order user select table key values type type_ _state constructor prototype __proto__
  hasOwnProperty toString valueOf toJSON then __typename node nodes edges cursor before after first last page_info total_count
  operation input filter order_by changes change bookmark bookmarks objects queries subscriptions subscription Query Mutation
  query String Int Date Object Table Column Users Posts User Post news series data people children status line_1 line1 line_2nd
  1st 2nd a_b a-b a.b aB a_B A a é É ß İ ñ a__b _ __ _a seen place t s q k0 parent parent_0 viewer rows $seen $place true null
  undefined password_hash api_token token_expires_at user_id author_id created_at updated_at $1 $$ ${'$'}{x} a:b a/b * % ? #
  it's \\ \\' \` semi;colon 日本語 日本 emoji😀 */ // {} [0] (x)`;
const NAMES = [
  ...WORDS.trim().split(/\s+/),
  'say "so"',
  ' lead',
  'trail ',
  'a b',
  'new\nline',
  'tab\t',
  '-- no',
  '/* no */',
  'x'.repeat(63),
  'ü'.repeat(31),
];
/** Of PostgreSQL's own columns, and of the example's tables. */
const TAKEN = ['tableoid', 'xmin', 'xmax', 'cmin', 'cmax', 'ctid', 'users', 'posts'];

/** In bytes; a part is for what makes a name unlike the others. */
const LONGEST = 63 - 4;

function cut(name: string): string {
  const characters = [...name];
  while (Buffer.byteLength(characters.join('')) > LONGEST) characters.pop();
  return characters.join('');
}

const isName = (name: string) => name !== '' && !name.includes('\0') && name.isWellFormed();
const anyName = fc
  .oneof(
    { weight: 5, arbitrary: fc.constantFrom(...NAMES) },
    { weight: 1, arbitrary: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }) },
    { weight: 1, arbitrary: fc.stringMatching(/^[a-z][a-z0-9_]{0,12}$/) },
  )
  .map(cut)
  .filter(isName);

/** The name, or one like it, which nothing has yet. */
function free(name: string, taken: Set<string>): string {
  let one = name;
  for (let number = 2; taken.has(one) || TAKEN.includes(one); number++) one = `${name}${number}`;
  taken.add(one);
  return one;
}

const anyValues = (type: RandomType, isNullable: boolean) =>
  fc.array(isNullable && !type.isStrict ? fc.option(type.texts, { freq: 4 }) : type.texts, {
    minLength: MOST_ROWS,
    maxLength: MOST_ROWS,
  });

const anyColumn = (types: fc.Arbitrary<RandomType>, mayBeNull: boolean) =>
  fc
    .record({ name: anyName, type: types, isNullable: mayBeNull ? fc.boolean() : fc.constant(false), way: fc.nat(9) })
    .chain((column) => anyValues(column.type, column.isNullable).map((values) => ({ ...column, values })));

type DrawnColumn = typeof anyColumn extends (...given: never[]) => fc.Arbitrary<infer Drawn> ? Drawn : never;

const anyTable = fc.record({
  schema: fc.oneof(
    { weight: 5, arbitrary: fc.constant('public') },
    { weight: 2, arbitrary: fc.constantFrom('sales', 'Odd "Schema"', '2nd') },
  ),
  name: anyName,
  key: fc.array(anyColumn(keyType, false), { minLength: 1, maxLength: 3 }),
  columns: fc.array(anyColumn(anyType, true), { maxLength: 6 }),
  references: fc.array(
    fc.record({
      to: fc.nat(),
      name: anyName,
      isNullable: fc.boolean(),
      isNamedAlike: fc.boolean(),
      isOfKey: fc.nat(3),
      isToUnique: fc.nat(3),
      picks: fc.array(fc.nat(), { minLength: MOST_ROWS, maxLength: MOST_ROWS }),
    }),
    { maxLength: 3 },
  ),
  unique: fc.nat(3),
  generated: fc.tuple(fc.nat(2), anyName),
  isPartitioned: fc.nat(7),
  hasRowSecurity: fc.nat(7),
  rows: fc.integer({ min: 1, max: MOST_ROWS }),
});
type DrawnTable = typeof anyTable extends fc.Arbitrary<infer Drawn> ? Drawn : never;

/** The same for the same seed. */
export function randomTables(seed: number, count: number): RandomTable[] {
  const [drawn] = fc.sample(fc.array(anyTable, { minLength: count, maxLength: count }), { seed, numRuns: 1 });
  const taken = new Map<string, Set<string>>();
  const tables: RandomTable[] = [];
  for (const one of drawn!) {
    const names = taken.get(one.schema) ?? new Set();
    taken.set(one.schema, names);
    tables.push(tableOf({ ...one, name: free(one.name, names) }, tables));
  }
  return tables;
}

function tableOf(drawn: DrawnTable, before: readonly RandomTable[]): RandomTable {
  const taken = new Set<string>();
  const column = (one: DrawnColumn, isKey: boolean) => columnOf({ ...one, name: free(one.name, taken) }, isKey);
  const key = drawn.key.map((one) => column(one, true));
  const others = drawn.columns.map((one) => column(one, false));
  const columns = [...key, ...others];
  const unique =
    drawn.unique === 0
      ? others.filter(({ type, definition }) => type.isKey && !/ default | generated /.test(definition)).slice(0, 1)
      : [];
  const table: RandomTable = {
    schema: drawn.schema,
    bare: drawn.name,
    columns,
    key: key.map(({ name }) => name),
    unique: unique.map(({ name }) => name),
    references: [],
    ddl: '',
  };
  const all = [...before, table];
  const isOfKey = (one: DrawnTable['references'][number]) => one.isOfKey === 0 && all[one.to % all.length] !== table;
  // A table that refers to its own key has all of that by then.
  for (const one of drawn.references.filter(isOfKey)) addReference(table, one, true, all, taken);
  for (const one of drawn.references.filter((one) => !isOfKey(one))) addReference(table, one, false, all, taken);
  if (drawn.generated[0] === 0) columns.push(generatedOf(free(drawn.generated[1], taken), others));
  for (const one of columns) one.values.length = drawn.rows;
  return Object.assign(table, { ddl: ddlOf(table, drawn) });
}

function columnOf({ name, type, isNullable, way, values }: DrawnColumn, isKey: boolean): RandomColumn {
  const made = makerOf(type, values[0] ?? null, way, isKey);
  const isMade = made.startsWith(' generated') || made.startsWith(' default nextval') || (isKey && made !== '');
  const definition = `${quoted(name)} ${type.sql}${isNullable ? '' : ' not null'}${made}`;
  return { name, type, isMade, isNullable, definition, values };
}

/** What the primary gives where nothing is given. */
function makerOf({ sql, isCounted }: RandomType, value: string | null, way: number, isKey: boolean): string {
  if (isCounted && way < (isKey ? 4 : 1)) return ` generated ${way % 2 === 0 ? 'always' : 'by default'} as identity`;
  if (sql === 'uuid' && way < 5) return ' default gen_random_uuid()';
  if (/^timestamp[^[]*$/.test(sql) && way < 2) return ' default now()';
  if (isKey || way > 2 || (value?.length ?? 0) > 100) return '';
  return value === null ? ' default null' : ` default ${literal(value)}::${sql}`;
}

/** Drawn again where the other table has more columns. */
function addReference(
  table: RandomTable,
  { to, name, isNullable, isNamedAlike, isToUnique, picks }: DrawnTable['references'][number],
  isInKey: boolean,
  all: readonly RandomTable[],
  taken: Set<string>,
): void {
  const parent = all[to % all.length]!;
  const targets = [...(isToUnique === 0 && parent.unique.length > 0 ? parent.unique : parent.key)];
  const types = targets.map((target) => parent.columns.find(({ name: one }) => one === target)!.type);
  // PostgreSQL refuses rows under a foreign key of lists: it compares them as anyarray.
  if (types.some(({ sql }) => /\[\]$|^sales\.moods$/.test(sql))) return;
  const mayBeNull = !isInKey && (parent === table || isNullable);
  const columns = targets.map((target, part) => {
    const type = types[part]!;
    const own = free(cut(isNamedAlike ? `${name}_${target}` : name), taken);
    const definition = `${quoted(own)} ${type.sql}${mayBeNull ? '' : ' not null'}`;
    table.columns.push({
      name: own,
      type,
      isMade: false,
      isNullable: mayBeNull,
      definition,
      values: picks.map(() => null),
    });
    return own;
  });
  if (isInKey) table.key.push(...columns);
  table.references.push({ columns, to: parent, targets, picks });
}

/** Of what every database has. */
function generatedOf(name: string, others: readonly RandomColumn[]): RandomColumn {
  const read = others.find(({ type }) => /^(?:text|varchar|integer|bigint|smallint|numeric)$/.test(type.sql));
  const [sql, expression] =
    read === undefined
      ? ['integer', '1 + 1']
      : /^(?:text|varchar)$/.test(read.type.sql)
        ? ['text', `md5(${quoted(read.name)})`]
        : ['numeric', `${quoted(read.name)}::numeric + 0.5`];
  const definition = `${quoted(name)} ${sql} generated always as (${expression}) stored`;
  return {
    name,
    type: { sql, isKey: false, texts: fc.constant('') },
    isMade: true,
    isNullable: true,
    definition,
    values: [],
  };
}

const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;

function ddlOf(table: RandomTable, { isPartitioned, hasRowSecurity }: DrawnTable): string {
  const { columns, key, unique, references } = table;
  const list = (names: readonly string[]) => `(${names.map(quoted).join(', ')})`;
  const name = sqlName(table);
  // A unique constraint of a partitioned table has the columns that it is divided by.
  const byPart = isPartitioned === 0 && unique.length === 0;
  const lines = [
    ...columns.map(({ definition }) => definition),
    `primary key ${list(key)}`,
    ...(unique.length > 0 ? [`unique ${list(unique)}`] : []),
    ...references.map((one) => `foreign key ${list(one.columns)} references ${sqlName(one.to)} ${list(one.targets)}`),
  ];
  const part = `${quoted(table.schema)}.${quoted(`${cut(table.bare).slice(0, 20)} rest`)}`;
  return [
    `create table ${name} (\n  ${lines.join(',\n  ')}\n)${byPart ? ` partition by range (${quoted(key[0]!)})` : ''};`,
    ...(byPart ? [`create table ${part} partition of ${name} default;`] : []),
    ...(hasRowSecurity === 0
      ? [
          `alter table ${name} enable row level security;`,
          `create policy everybody on ${name} using (true) with check (true);`,
        ]
      : []),
  ].join('\n');
}

/** Makes the tables and their rows; a row that another has the key of is left out. */
export async function load(sql: postgres.Sql, tables: readonly RandomTable[]): Promise<void> {
  await sql.unsafe(TYPES_SQL);
  for (const table of tables) {
    await sql.unsafe(table.ddl);
    const { length } = table.columns[0]!.values;
    for (let row = 0; row < length; row++) await insert(sql, table, row);
  }
}

async function insert(sql: postgres.Sql, table: RandomTable, row: number): Promise<void> {
  const values = new Map<string, string | null>(
    table.columns.filter(({ isMade }) => !isMade).map((column) => [column.name, column.values[row]!]),
  );
  for (const { columns, to, targets, picks } of table.references) {
    const there = await sql.unsafe<Record<string, string>[]>(
      `select ${targets.map((target, part) => `${quoted(target)}::text as k${part}`).join(', ')} from ${sqlName(to)} order by ctid`,
    );
    const picked =
      there[picks[row]! % (there.length + (table.columns.find(({ name }) => name === columns[0])!.isNullable ? 1 : 0))];
    columns.forEach((name, part) => values.set(name, picked?.[`k${part}`] ?? null));
  }
  const given = table.columns.filter(({ name }) => values.has(name));
  const mayBeNull = ({ isNullable, type }: RandomColumn) => isNullable && type.isStrict !== true;
  if (given.some((column) => !mayBeNull(column) && values.get(column.name) === null)) return;
  const names = given.map(({ name }) => quoted(name)).join(', ');
  const parameters = given.map(({ type }, index) => `$${index + 1}::text::${type.sql}`).join(', ');
  await sql.unsafe(
    `insert into ${sqlName(table)} ${given.length === 0 ? 'default values' : `(${names}) values (${parameters})`} on conflict do nothing`,
    given.map(({ name }) => values.get(name) as string),
  );
}
