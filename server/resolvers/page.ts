import { z } from 'zod';
import { badInput, ClientError } from '../lib/errors.ts';
import type { PageRequest, Position } from '../store/keyset.ts';

/** Relay's arguments of a list. */
export interface PageArguments {
  first?: number | null;
  after?: string | null;
  last?: number | null;
  before?: string | null;
}

export interface Order<Field extends string> {
  field: Field;
  direction: 'ASC' | 'DESC';
}

const DEFAULT_SIZE = 20;
const MOST = 100;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Checks the arguments, and turns them into one keyset page. */
export function toPageRequest<Field extends string>(args: PageArguments, order: Order<Field>): PageRequest<Field> {
  if (args.first != null && args.last != null) throw badInput('Give first or last, not both.', 'first');
  const backward = args.last != null;
  return {
    field: order.field,
    descending: order.direction === 'DESC',
    backward,
    limit: size(backward ? 'last' : 'first', args.last ?? args.first ?? DEFAULT_SIZE),
    after: position(args.after, order, 'after'),
    before: position(args.before, order, 'before'),
  };
}

function size(name: string, value: number): number {
  if (value >= 0 && value <= MOST) return value;
  throw badInput(`${name} must be from 0 to ${MOST}, got: ${value}`, name);
}

const cursorForm = z.tuple([z.string(), z.enum(['ASC', 'DESC']), z.string(), z.string().regex(UUID)]);

function position<Field extends string>(
  text: string | null | undefined,
  order: Order<Field>,
  name: string,
): Position | null {
  if (text == null) return null;
  const parsed = cursorForm.safeParse(readJson(text));
  if (!parsed.success) throw badCursor(name, 'is not one that this server gave out');
  const [field, direction, value, id] = parsed.data;
  if (field !== order.field || direction !== order.direction) throw badCursor(name, 'belongs to another order');
  if (field === 'CREATED_AT' && Number.isNaN(Date.parse(value)))
    throw badCursor(name, 'is not one that this server gave out');
  return { value, id };
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    return undefined;
  }
}

function badCursor(name: string, what: string): ClientError {
  return new ClientError(
    'BAD_CURSOR',
    `The cursor ${what}: take it from a page with the same orderBy, or leave it out.`,
    { field: name },
  );
}

export interface Connection<Node> {
  edges: { cursor: string; node: Node }[];
  nodes: Node[];
  pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean; startCursor: string | null; endCursor: string | null };
}

/** `rows` is what the page's statement returned: in reading order, with one row more where there is more. */
export function toConnection<Node extends { id: string }, Field extends string>(
  rows: readonly Node[],
  page: PageRequest<Field>,
  valueOf: (node: Node) => string,
): Connection<Node> {
  const more = rows.length > page.limit;
  const nodes = rows.slice(0, page.limit);
  if (page.backward) nodes.reverse();
  const edges = nodes.map((node) => ({ cursor: encode(page, valueOf(node), node.id), node }));
  return {
    edges,
    nodes,
    pageInfo: {
      hasNextPage: page.backward ? page.before !== null : more,
      hasPreviousPage: page.backward ? more : page.after !== null,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  };
}

function encode<Field extends string>(page: PageRequest<Field>, value: string, id: string): string {
  const direction = page.descending ? 'DESC' : 'ASC';
  return Buffer.from(JSON.stringify([page.field, direction, value, id])).toString('base64url');
}
