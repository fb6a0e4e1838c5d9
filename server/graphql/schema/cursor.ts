import { z } from 'zod';
import { keyIn, type Declaration, type DeclaredColumn } from '../../declare/declaration.ts';
import { ClientError } from '../../lib/errors.ts';
import type { Position } from '../../database/sql/keyset.ts';

/** An order as clients ask for it. */
export interface Asked {
  field: string;
  direction: 'ASC' | 'DESC';
}

const form = z.tuple([z.string(), z.enum(['ASC', 'DESC']), z.string().nullable(), z.string()]);

/** A position in an order, as the text that clients hand back. */
export function encodeCursor({ field, direction }: Asked, { value, id }: Position): string {
  return Buffer.from(JSON.stringify([field, direction, value, id])).toString('base64url');
}

/** The position that a client handed in as `argument`. @throws ClientError BAD_CURSOR */
export function decodeCursor(
  text: string,
  order: Asked,
  table: Declaration,
  column: DeclaredColumn,
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
