import { z } from 'zod';
import type { PageArgs } from '../types/page.type.ts';
import { visibleTo } from '../../auth/rights.ts';
import { badInput, ClientError } from '../../lib/errors.ts';
import type { Listing, Rows } from '../../reads/rows.ts';
import type { Order, PageRequest, Position } from '../../database/sql/keyset.ts';
import type { Context } from './context.ts';
import { columnText, keyIn, type Declaration } from '../../declare/declaration.ts';

const DEFAULT_SIZE = 20;
const MOST = 100;

/** An order as clients ask for it. */
export interface Asked {
  field: string;
  direction: 'ASC' | 'DESC';
}

/** A page as Relay has it. What is a getter is worked out only where it is selected. */
export class Connection<Node> {
  readonly nodes: readonly Node[];
  readonly #cursorOf: (node: Node) => string;
  readonly #neighbours: () => { hasNextPage: boolean; hasPreviousPage: boolean };
  readonly #count: () => Promise<number>;

  constructor(
    nodes: readonly Node[],
    cursorOf: (node: Node) => string,
    neighbours: () => { hasNextPage: boolean; hasPreviousPage: boolean },
    count: () => Promise<number>,
  ) {
    this.nodes = nodes;
    this.#cursorOf = cursorOf;
    this.#neighbours = neighbours;
    this.#count = count;
  }

  get edges() {
    return this.nodes.map((node) => ({ cursor: this.#cursorOf(node), node }));
  }

  get pageInfo() {
    const [first, last] = [this.nodes[0], this.nodes.at(-1)];
    const startCursor = first === undefined ? null : this.#cursorOf(first);
    const endCursor = last === undefined ? null : this.#cursorOf(last);
    return { ...this.#neighbours(), startCursor, endCursor };
  }

  get totalCount(): Promise<number> {
    return this.#count();
  }
}

/** One page of those rows in `scope` that the viewer may see; in the first of their orders where none is asked for. */
export async function connect<Scope, Row extends { id: string }>(
  { viewer, loaders }: Pick<Context, 'viewer' | 'loaders'>,
  { declaration, table }: Rows<Row>,
  { pages, counts }: Listing<Scope, Row>,
  scope: Scope,
  args: PageArgs,
  asked?: Asked | null,
): Promise<Connection<Row>> {
  const order = asked ?? usualOrder(declaration, table.orders);
  const { column } = table.orders[order.field]!;
  const page = toPageRequest(args, order, declaration, column);
  const scoped = { scope, visibleTo: visibleTo(viewer, declaration) };
  const rows = await loaders.load(pages, { ...scoped, page });
  const nodes = rows.slice(0, page.limit);
  if (page.backward) nodes.reverse();
  return new Connection(
    nodes,
    (node) => encodeCursor(order, positionOf(node, column)),
    () => neighbours(page, rows.length > page.limit),
    () => loaders.load(counts, scoped),
  );
}

/** Checks the arguments, and turns them into one keyset page. */
function toPageRequest(args: PageArgs, order: Asked, table: Declaration, column: Order['column']): PageRequest {
  if (args.first != null && args.last != null) throw badInput('Give first or last, not both.', 'first');
  const backward = args.last != null;
  return {
    field: order.field,
    descending: order.direction === 'DESC',
    backward,
    limit: size(backward ? 'last' : 'first', args.last ?? args.first ?? DEFAULT_SIZE),
    after: args.after == null ? null : decodeCursor(args.after, order, table, column, 'after'),
    before: args.before == null ? null : decodeCursor(args.before, order, table, column, 'before'),
  };
}

function size(name: string, value: number): number {
  if (value >= 0 && value <= MOST) return value;
  throw badInput(`${name} must be from 0 to ${MOST}, got: ${value}`, name);
}

function positionOf<Row extends { id: string }>(row: Row, column: Order['column']): Position {
  const value = row[column.field as keyof Row];
  return { value: value === null ? null : columnText(column, value), id: row.id };
}

/** The first that is declared, newest first; by the key where none is. */
function usualOrder({ key, orderBy }: Declaration, orders: Readonly<Record<string, Order>>): Asked {
  return { field: Object.keys(orders)[0]!, direction: orderBy[0] === key[0] ? 'ASC' : 'DESC' };
}

/** `more`: the statement found a row past the page, on the side that it read towards. */
function neighbours({ backward, after, before }: PageRequest, more: boolean) {
  return {
    hasNextPage: backward ? before !== null : more,
    hasPreviousPage: backward ? more : after !== null,
  };
}

const form = z.tuple([z.string(), z.enum(['ASC', 'DESC']), z.string().nullable(), z.string()]);

/** A position in an order, as the text that clients hand back. */
function encodeCursor({ field, direction }: Asked, { value, id }: Position): string {
  return Buffer.from(JSON.stringify([field, direction, value, id])).toString('base64url');
}

/** The position that a client handed in as `argument`. @throws ClientError BAD_CURSOR */
function decodeCursor(
  text: string,
  order: Asked,
  table: Declaration,
  column: Order['column'],
  argument: string,
): Position {
  const parsed = form.safeParse(readJson(text));
  if (!parsed.success) throw badCursor(argument, 'is not one that this server gave out');
  const [field, direction, value, id] = parsed.data;
  if (field !== order.field || direction !== order.direction) throw badCursor(argument, 'belongs to another order');
  // What PostgreSQL would refuse is refused here: a forged cursor is the client's fault, not the server's.
  const isThere = value === null ? column.nullable : column.form.parse(value) !== undefined;
  if (!isThere || keyIn(table, id) === undefined) throw badCursor(argument, 'is not one that this server gave out');
  return { value, id };
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    return undefined; // whoever sent it is told so
  }
}

function badCursor(argument: string, what: string): ClientError {
  return new ClientError(
    'BAD_CURSOR',
    `The cursor ${what}: take it from a page with the same orderBy, or leave it out.`,
    { field: argument },
  );
}
