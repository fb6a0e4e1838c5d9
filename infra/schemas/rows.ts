import type { Sql } from '../../server/database/connect.ts';
import { quoted } from '../../server/database/connect.ts';
import { identifier } from '../../server/database/sql/columns.ts';
import type { Found, FoundColumn } from '../../server/cli/add/catalog.ts';

/** By the first words of types: PostgreSQL's text of their nth value. Equal columns have equal values, so that keys refer to rows. */
const VALUES: readonly [RegExp, (n: number) => string][] = [
  [/^uuid/, (n) => `00000000-0000-4000-8000-00000000000${n}`],
  [/^(?:smallint|integer|bigint|numeric|real|double|money|oid)/, String],
  [/^boolean/, (n) => String(n === 1)],
  [/^(?:timestamp|date)/, (n) => `2022-02-0${n} 01:02:03`],
  [/^time/, (n) => `0${n}:02:03`],
  [/^interval/, (n) => `${n} days`],
  [/^json/, (n) => `{"n": ${n}}`],
  [/^bytea/, (n) => `\\x0${n}`],
  [/^(?:inet|cidr)/, (n) => `10.0.0.${n}`],
  [/^macaddr/, (n) => `08:00:2b:01:02:0${n}`],
  [/^bit/, (n) => String(n - 1)],
  [/^xml/, (n) => `<n>${n}</n>`],
  [/^point/, (n) => `(${n},${n})`],
  [/^(?:box|lseg|path|polygon)/, (n) => `((0,0),(${n},${n}))`],
  [/^(?:int4range|int8range|numrange)/, (n) => `[${n},${n + 1})`],
  [/^(?:tsrange|tstzrange|daterange)/, (n) => `[2022-02-0${n},2022-02-0${n + 1})`],
  [/^(?:.*\.)?hstore/, (n) => `n=>${n}`],
];

const bareType = (base: string) => base.replace(/(?:\[\])+$/, '').replace(/^(?:public|extensions)\./, '');

function valueOf({ base, labels, dimensions }: FoundColumn, n: number): string {
  const type = bareType(base);
  const known = VALUES.find(([form]) => form.test(type));
  const one = labels ? labels[(n - 1) % labels.length]! : (known?.[1](n) ?? 'abc'[n - 1]!);
  return dimensions > 0 ? `${'{'.repeat(dimensions)}"${one.replace(/["\\]/g, '\\$&')}"${'}'.repeat(dimensions)}` : one;
}

/** What keeps a made row out, and goes: the rows are about types, keys and names. */
interface Refusal {
  code?: string;
  message: string;
  constraint_name?: string;
}

/** Tables without rows get two. Returns those that could have none, each with why. */
export async function fill(sql: Sql, tables: readonly Found[]): Promise<string[]> {
  const empty: Found[] = [];
  const first = new Map<string, Record<string, string>[]>();
  for (const table of tables) {
    const rows = await sql.unsafe(
      `select ${table.columns.map(({ name }) => `${quoted(name)}::text`).join(', ') || '1'} from ${identifier(table.table)} limit 2`,
    );
    if (rows.length === 0) empty.push(table);
    else first.set(table.table, rows);
  }
  const without: string[] = [];
  for (const table of empty)
    for (const n of [1, 2]) {
      const why = await insert(sql, table, rowOf(table, n, first, tables));
      if (why !== undefined) without.push(`${table.table}: ${why}`);
      if (why !== undefined) break;
    }
  for (const table of empty) {
    await moveSequences(sql, table);
    // A check may look at other tables' rows.
    const own = table.columns.find(({ isGenerated }) => !isGenerated);
    if (own)
      await pastChecks(sql, table, `update ${identifier(table.table)} set ${quoted(own.name)} = ${quoted(own.name)}`);
  }
  return without;
}

function rowOf(
  { table: own, columns, references }: Found,
  n: number,
  first: ReadonlyMap<string, Record<string, string>[]>,
  tables: readonly Found[],
): Map<string, string> {
  const row = new Map(
    columns.filter(({ isGenerated }) => !isGenerated).map((column) => [column.name, valueOf(column, n)]),
  );
  for (const { columns: names, table, isToKey } of references) {
    // A row that names itself could not be made again.
    if (table === own)
      for (const name of names) if (columns.find((one) => one.name === name)!.isNullable) row.delete(name);
    const there = first.get(table);
    const key = tables.find((one) => one.table === table)?.key;
    if (!there || !isToKey || !key) continue;
    names.forEach((name, part) => row.set(name, there[(n - 1) % there.length]![key[part]!]!));
  }
  return row;
}

async function insert(sql: Sql, table: Found, row: Map<string, string>): Promise<string | undefined> {
  const names = [...row.keys()];
  const types = new Map(table.columns.map(({ name, type }) => [name, type]));
  const values = names.map((name, index) => `$${index + 1}::text::${types.get(name)}`).join(', ');
  const statement = `insert into ${identifier(table.table)} (${names.map(quoted).join(', ')}) overriding system value values (${values})`;
  return pastChecks(
    sql,
    table,
    statement,
    names.map((name) => row.get(name)!),
  );
}

/** Undefined once the statement is through, else why it is not. */
async function pastChecks(
  sql: Sql,
  table: Found,
  statement: string,
  values: string[] = [],
): Promise<string | undefined> {
  let last = '';
  for (let attempt = 0; attempt < 12; attempt++) {
    try {
      await sql.begin(async (tx) => {
        // Neither triggers nor foreign keys: rows of all tables come one after another, and refer to each other.
        await tx`set local session_replication_role = replica`;
        await tx.unsafe(statement, values);
      });
      return undefined;
    } catch (error) {
      const { code, message, constraint_name: constraint } = error as Refusal;
      last = message;
      if (code !== '23514' || constraint === undefined) return message;
      await dropCheck(sql, table, constraint);
    }
  }
  return last;
}

/** Past the rows that were given their keys. */
async function moveSequences(sql: Sql, { table, columns }: Found): Promise<void> {
  for (const { name, sequence, isIdentity } of columns)
    if (sequence !== null) await sql`select setval(${sequence}::text::regclass, 10)`;
    else if (isIdentity) await sql`select setval(pg_get_serial_sequence(${identifier(table)}, ${name}), 10)`;
}

async function dropCheck(sql: Sql, { table }: Found, constraint: string): Promise<void> {
  const domains = await sql<{ name: string }[]>`
    select contypid::regtype::text as name from pg_constraint where conname = ${constraint} and contypid <> 0`;
  for (const { name } of domains) await sql.unsafe(`alter domain ${name} drop constraint ${quoted(constraint)}`);
  if (domains.length === 0)
    await sql.unsafe(`alter table ${identifier(table)} drop constraint if exists ${quoted(constraint)}`);
}
