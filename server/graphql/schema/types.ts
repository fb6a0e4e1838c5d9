import { IsBoolean, IsInt, IsNumber } from 'class-validator';
import { Field, ID, InputType, Int, ObjectType, registerEnumType, type ClassType } from 'type-graphql';
import { Change, changeOf } from '../types/change.type.ts';
import { payloadWith } from '../types/confirmation.type.ts';
import { connectionOf, edgeOf, OrderDirection } from '../types/page.type.ts';
import { declarationOf, nullableOf, type Declaration, type DeclaredColumn } from '../../declare/declaration.ts';
import { IsBounded, IsBoundedJson, IsShort, INDEXED_BYTES_MAX } from '../../declare/sizes.ts';
import { IsKeyOf, IsLine, IsMoment, IsText, WhereGiven, WhereNotNull } from '../../declare/rules.ts';
import { BigInt, DateTime, Day, Double, Json, LocalDateTime, Time, TimeTz, Uuid } from '../../declare/scalars.ts';
import { labelsOf, type DeclaredType } from '../../declare/kinds.ts';
import { kept } from '../../lib/kept.ts';
import { orderName } from '../../database/sql/table.ts';
import type { Asked as Order } from './page.ts';

/** What a table's rows are asked for with, and answered in. */
export interface RowTypes {
  connection: ClassType;
  order: ClassType<Order>;
  filter: ClassType | undefined;
}

/** A type is made when it is first asked for, as each is of a name that there is once; before the schema is built of all. */
function once<Made>(make: (table: Declaration) => Made): (table: Declaration) => Made {
  const known = new WeakMap<Declaration, Made>();
  return (table) => kept(known, table, make);
}

export const typesOf = once((table): RowTypes => {
  const { type } = table;
  const edge = named(`${type.name}Edge`, edgeOf(type));
  ObjectType()(edge);
  const connection = named(`${type.name}Connection`, connectionOf(type, edge));
  ObjectType()(connection);
  return { connection, order: orderInput(table), filter: filterInput(table) };
});

/** What mutations of the table answer. */
export const payloadType = once(({ type, one }) => {
  const payload = named(`${type.name}Payload`, payloadWith(type, one));
  ObjectType()(payload);
  return payload;
});

export const changeType = once(({ type, one }): ClassType<Change> => {
  const change = named(`${type.name}Change`, changeOf(type, one));
  ObjectType({ implements: Change })(change);
  return change;
});

function orderInput({ type, orderBy }: Declaration): ClassType<Order> {
  const fields = Object.fromEntries(orderBy.map(orderName).map((name) => [name, name]));
  registerEnumType(fields, { name: `${type.name}OrderField` });
  const order = named(`${type.name}Order`, Object);
  Field(() => fields)(order.prototype as object, 'field');
  Field(() => OrderDirection)(order.prototype as object, 'direction');
  InputType()(order);
  return order as ClassType<Order>;
}

/** For mutations of the project's own. */
export const payloadOf = (type: ClassType): ClassType => payloadType(declarationOf(type));

/** What clients give: the rest is the primary's. */
export const givenBy = ({ columns }: Declaration) => columns.filter(({ kind }) => kind !== 'generated');
/** Rows keep their owners and keys. */
export const changeable = (table: Declaration) =>
  givenBy(table).filter(({ field, isKey }) => !table.owners.includes(field) && !isKey);

export function createInput(table: Declaration): ClassType {
  const input = named(`Create${table.type.name}Input`, Object);
  for (const column of givenBy(table)) {
    const isRequired = column.nullable !== true && column.hasDefault !== true;
    add(input, table, column, isRequired ? undefined : whenGiven(column));
  }
  InputType({ description: table.descriptions.create })(input);
  return input;
}

export function updateInput(table: Declaration): ClassType {
  const input = named(`Update${table.type.name}Input`, Object);
  for (const column of changeable(table)) add(input, table, column, whenGiven(column));
  InputType({ description: table.descriptions.update ?? 'What is left out stays' })(input);
  return input;
}

/** One that may be left out may not therefore be null: that is refused where the column takes none. */
const whenGiven = ({ nullable }: DeclaredColumn) => (nullable ? WhereNotNull() : WhereGiven());

/** `when`: it may be left out, and is checked then. */
function add(input: ClassType, table: Declaration, column: DeclaredColumn, when: PropertyDecorator | undefined): void {
  const { prototype } = input;
  const type = column.type() as StringConstructor;
  Field(() => type, { nullable: nullableOf(column, when !== undefined) })(prototype, column.field);
  for (const rule of [...(when ? [when] : []), ...rulesOf(column), ...indexed(table, column)])
    rule(prototype, column.field);
}

/** Of so many bytes at most that they count for nothing in an index. */
const FEW_BYTES = new Set<unknown>([
  ID,
  Uuid,
  Int,
  Number,
  BigInt,
  Double,
  Boolean,
  DateTime,
  LocalDateTime,
  Day,
  Time,
  TimeTz,
]);

function isOfFewBytes({ type, reference }: DeclaredColumn): boolean {
  if (reference) return isOfFewBytes(declarationOf(reference.to() as ClassType).key[0]);
  return FEW_BYTES.has(type()) || (!Array.isArray(type()) && labelsOf(type()) !== undefined);
}

/**
 * Replicas have an index of the columns that name a row of another table, those of the order and those of the key: each of
 * them fits into the primary's own indexes, and all together might not fit there, which would stop replication.
 */
function indexed({ key, orderBy, relations }: Declaration, column: DeclaredColumn): PropertyDecorator[] {
  if (isOfFewBytes(column)) return [];
  const counts = [[], ...relations.map(({ columns }) => columns)].flatMap((start) => {
    const long = new Set([...start, ...orderBy, ...key].filter((one) => !isOfFewBytes(one)));
    return long.has(column) ? [long.size] : [];
  });
  return counts.length === 0 ? [] : [IsShort(Math.floor(INDEXED_BYTES_MAX / Math.max(...counts)))];
}

const MOST_TEXT = 1_000_000;

function rulesOf(column: DeclaredColumn) {
  const { kind, type, form, length: [least, most] = [0, MOST_TEXT], line, rules = [] } = column;
  if (kind === 'reference') return [IsKeyOf(column.form), ...rules];
  switch (type()) {
    case String:
      return [
        line === true ? IsLine(least, most) : IsText(least, most),
        ...(form.isMadeText ? [IsBounded()] : []),
        ...rules,
      ];
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
      return [elementOf(type()) === Json ? IsBoundedJson() : IsBounded(), ...rules];
  }
}

const elementOf = (type: DeclaredType): DeclaredType => (Array.isArray(type) ? elementOf(type[0] as object) : type);

/** By what pages of the table can be filtered; undefined: by nothing. */
function filterInput({ type, filter }: Declaration): ClassType | undefined {
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

/** A class of that name, as that is what type-graphql calls its type. */
function named<Base extends abstract new () => object>(name: string, base: Base): ClassType<InstanceType<Base>> {
  const made = class extends (base as unknown as new () => object) {};
  Object.defineProperty(made, 'name', { value: name });
  return made as ClassType<InstanceType<Base>>;
}
