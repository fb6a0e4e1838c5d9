import { Field, InputType, ObjectType, registerEnumType, type ClassType } from 'type-graphql';
import { Change } from '../types/change.type.ts';
import { connectionOf, edgeOf, OrderDirection } from '../types/page.type.ts';
import { changeOf, payloadWith } from '../types/rows.type.ts';
import { declarationOf, type Declaration } from '../../declare/declaration.ts';
import { named } from './named.ts';
import { filterInput } from './inputs.ts';
import { orderName } from '../../database/sql/table.ts';
import type { Asked as Order } from './cursor.ts';

/** The types of GraphQL that come of a declaration. */
export interface RowTypes {
  connection: ClassType;
  payload: ClassType;
  change: ClassType<Change>;
  order: ClassType<Order>;
  filter: ClassType | undefined;
}

const known = new WeakMap<Declaration, RowTypes>();

/** Made when first asked for, as each is of a name that there is once. */
export function typesOf(table: Declaration): RowTypes {
  const made = known.get(table) ?? makeTypes(table);
  known.set(table, made);
  return made;
}

function makeTypes(table: Declaration): RowTypes {
  const { type, one } = table;
  const edge = named(`${type.name}Edge`, edgeOf(type));
  ObjectType()(edge);
  const connection = named(`${type.name}Connection`, connectionOf(type, edge));
  ObjectType()(connection);
  const payload = named(`${type.name}Payload`, payloadWith(type, one));
  ObjectType()(payload);
  const change = named(`${type.name}Change`, changeOf(type, one));
  ObjectType({ implements: Change })(change);
  return {
    connection,
    payload,
    change,
    order: orderInput(table),
    filter: filterInput(table),
  };
}

function orderInput({ type, orderBy }: Declaration): ClassType<Order> {
  const fields = Object.fromEntries(orderBy.map(orderName).map((name) => [name, name]));
  registerEnumType(fields, { name: `${type.name}OrderField` });
  const order = named(`${type.name}Order`, Object);
  Field(() => fields)(order.prototype as object, 'field');
  Field(() => OrderDirection)(order.prototype as object, 'direction');
  InputType()(order);
  return order as ClassType<Order>;
}

/** What mutations of the table answer. */
export const payloadOf = (type: ClassType): ClassType => typesOf(declarationOf(type)).payload;
