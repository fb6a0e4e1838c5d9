import { IsBoolean, IsInt, IsNumber } from 'class-validator';
import { Field, ID, InputType, Int, type ClassType } from 'type-graphql';
import { IsKeyOf, IsLine, IsMoment, IsText, WhereGiven, WhereNotNull } from '../../declare/rules.ts';
import { DateTime, Double } from '../../declare/scalars.ts';
import { nullableOf, type Declaration, type DeclaredColumn } from '../../declare/declaration.ts';
import { named } from './named.ts';

/** What clients give: the rest is the primary's. */
const givenBy = ({ columns }: Declaration) => columns.filter(({ kind }) => kind === 'value' || kind === 'reference');

export function createInput(table: Declaration): ClassType {
  const input = named(`Create${table.type.name}Input`, Object);
  for (const column of givenBy(table)) {
    const isRequired = column.nullable !== true && column.hasDefault !== true;
    add(input, column, isRequired ? undefined : whenGiven(column));
  }
  InputType({ description: table.descriptions.create })(input);
  return input;
}

/** Rows keep their owners and keys. */
export function updateInput(table: Declaration): ClassType {
  const input = named(`Update${table.type.name}Input`, Object);
  for (const column of givenBy(table))
    if (!table.owners.includes(column.field) && !column.isKey) add(input, column, whenGiven(column));
  InputType({ description: table.descriptions.update ?? 'What is left out stays' })(input);
  return input;
}

/** One that may be left out may not therefore be null: that is refused where the column takes none. */
const whenGiven = ({ nullable }: DeclaredColumn) => (nullable ? WhereNotNull() : WhereGiven());

/** `when`: it may be left out, and is checked then. */
function add(input: ClassType, column: DeclaredColumn, when: PropertyDecorator | undefined): void {
  const { prototype } = input;
  const type = column.type() as StringConstructor;
  Field(() => type, { nullable: nullableOf(column, when !== undefined) })(prototype, column.field);
  for (const rule of [...(when ? [when] : []), ...rulesOf(column)]) rule(prototype, column.field);
}

const MOST_TEXT = 1_000_000;

function rulesOf(column: DeclaredColumn) {
  const { kind, type, length: [least, most] = [0, MOST_TEXT], line, rules = [] } = column;
  if (kind === 'reference') return [IsKeyOf(column.form), ...rules];
  switch (type()) {
    case String:
      return [line === true ? IsLine(least, most) : IsText(least, most), ...rules];
    case Boolean:
      return [IsBoolean(), ...rules];
    case Int:
      return [IsInt(), ...rules];
    case Double:
      return [IsNumber({ allowNaN: true, allowInfinity: true }), ...rules];
    case ID:
      return [IsKeyOf(column.form), ...rules];
    case DateTime:
      return [IsMoment(), ...rules];
    default:
      return rules;
  }
}

/** By what pages of the table can be filtered; undefined: by nothing. */
export function filterInput({ type, filter }: Declaration): ClassType | undefined {
  if (!filter) return undefined;
  const input = named(`${type.name}Filter`, Object);
  const prototype = input.prototype as object;
  if (filter.search) {
    const { columns, description } = filter.search;
    const most = Math.max(...columns.map(({ length }) => length?.[1] ?? MOST_TEXT));
    Field(() => String, { nullable: true, description })(prototype, 'search');
    for (const rule of [IsText(0, most), WhereNotNull()]) rule(prototype, 'search');
  }
  for (const { name, column, isGiven, description } of filter.by) {
    const of = isGiven ? Boolean : (column.type() as StringConstructor);
    Field(() => of, { nullable: true, description })(prototype, name);
    if (of !== Boolean) for (const rule of [...rulesOf(column), WhereNotNull()]) rule(prototype, name);
  }
  InputType()(input);
  return input;
}
