import { columnIn, type Declaration, type DeclaredColumn } from '../../declare/declaration.ts';
import { arrayText } from '../../declare/kinds.ts';
import { isClaim, type Claim, type Clause } from '../../declare/rule.ts';
import type { Fragment, Sql } from '../connect.ts';
import { constant, nameOf } from './columns.ts';

/** The claims, as values or as parts of the statement. */
type Claimed = Readonly<Record<Claim['claim'], string | null | readonly string[] | Fragment>>;

/** What a condition is already known to be, null where unknown; undefined: the row decides. */
type Known = (clause: Clause & { field: string }) => boolean | null | undefined;

/** A rule over alias t. */
export function ruleSql(sql: Sql, table: Declaration, clause: Clause, claims: Claimed, known?: Known): Fragment {
  const inner = (of: Clause) => ruleSql(sql, table, of, claims, known);
  if (clause.kind === 'and' || clause.kind === 'or') return joined(sql, clause.kind, clause.of.map(inner));
  if (clause.kind === 'not') return sql`not ${inner(clause.of)}`;
  const truth = known?.(clause);
  if (truth !== undefined) return sql`${truth}::boolean`;
  const declared = columnIn(table, clause.field)!;
  const column = nameOf(sql, declared);
  if (clause.kind === 'isNull') return clause.value ? sql`${column} is null` : sql`${column} is not null`;
  const value = isClaim(clause.value) ? claims[clause.value.claim] : clause.value;
  if (clause.kind === 'eq') return sql`${column} = ${asOf(sql, declared, value as string | Fragment)}`;
  // Not cut to the column's length, as a cast to it would. A name in quotes may have such parentheses, too.
  const type = constant(sql, declared.form.sql.replace(/\(\d+\)(?!.*")/, ''));
  return sql`${column} = any(${arrayText(value as readonly unknown[])}::${type}[])`;
}

/** Part of a statement that asks for many viewers, who are known by UUIDs, a claim has their type. */
const asOf = (sql: Sql, { form }: DeclaredColumn, value: string | Fragment): Fragment =>
  typeof value === 'object' && form.sql !== 'uuid' ? sql`${value}::text` : sql`${value as string}`;

function joined(sql: Sql, word: 'and' | 'or', parts: Fragment[]): Fragment {
  if (parts.length === 0) return word === 'and' ? sql`true` : sql`false`;
  const between = word === 'and' ? sql`and` : sql`or`;
  return sql`(${parts.reduce((some, one) => sql`${some} ${between} ${one}`)})`;
}
