import { Extensions } from 'type-graphql';
import { isAllVisible, type Declaration, type DeclaredColumn } from '../declare/declaration.ts';
import { meets, ownersIn, type Clause } from '../declare/rule.ts';
import { withoutZeros } from '../declare/rules.ts';
import { BigInt, DateTime } from '../declare/scalars.ts';
import { ClientError } from '../lib/errors.ts';
import type { VisibleTo, WritableBy } from '../database/sql/table.ts';
import { claimsOf, mayAll, type Viewer } from './viewer.ts';

/**
 * Who may run an operation or see a field. `signedIn`: whoever is. `owner`: further decided by the row that is
 * written. Administrators may do everything, and in open mode everybody may. Where the project has no accounts,
 * everybody counts as signed in. What says nothing is for administrators: a
 * new table, operation or field is shown to nobody else before it says to whom.
 */
export type Who = 'anyone' | 'signedIn' | 'owner' | 'administrators';

/** On an operation, or on a field of rows that is no column: who may. */
export const Allowed = (who: Who) => Extensions({ who });

export const allowedIn = (extensions: Readonly<Record<string, unknown>>): Who =>
  (extensions['who'] as Who | undefined) ?? 'administrators';

export type Row = Readonly<Record<string, unknown>>;

/** @throws ClientError UNAUTHENTICATED or FORBIDDEN. An `owner` passes here: their row is looked at when it is written. */
export function assertMay(viewer: Viewer, who: Who, isRenewal = false): void {
  if (who === 'anyone' || mayAll(viewer)) return;
  if (viewer.renewed && isRenewal) return;
  if (!viewer.user && !viewer.isAnybody) throw signInFirst();
  if (who === 'administrators') throw forbidden('This is for administrators.');
}

/** Whether the viewer may know that there is such a table: where they may ask for its rows, or write some. */
export const mayKnow = (viewer: Viewer, table: Declaration | undefined): boolean =>
  table?.read !== undefined || table?.write !== undefined || mayAll(viewer);

const isMet = (clause: Clause | undefined, row: object, viewer: Viewer) =>
  clause !== undefined && meets(clause, row as Row, claimsOf(viewer));

/** Null where the viewer is not to know that the row is there. */
export function visible<R extends object>(viewer: Viewer, table: Declaration | undefined, row: R | null): R | null {
  if (row === null || mayAll(viewer)) return row;
  return isMet(table?.read, row, viewer) ? row : null;
}

const written = new WeakSet<object>();

/** Whoever has written a row, and may, is answered with it, also where the rules hide it from them from then on. */
export function showToWriter<R extends object | undefined>(row: R): R {
  if (row) written.add(row);
  return row;
}

export const isShownToWriter = (row: object): boolean => written.has(row);

/** What of the table's rows lists and counts may have, as PostgreSQL is told it; undefined: all. */
export function visibleTo(viewer: Viewer, table: Declaration): VisibleTo | undefined {
  if (mayAll(viewer) || isAllVisible(table)) return undefined;
  // The audience of what is shown to everybody owns nothing.
  return table.read ? { ...claimsOf(viewer), sub: viewer.user?.id || null } : 'nobody';
}

/** A column of a row that the viewer sees. */
export const seesColumn = (viewer: Viewer, { sees }: Pick<DeclaredColumn, 'sees'>, row: object): boolean =>
  sees === undefined || mayAll(viewer) || isMet(sees, row, viewer);

/** @throws ClientError FORBIDDEN where a filter or an order by the column would tell what the viewer does not see of rows. */
export function assertMayAskBy(viewer: Viewer, { sees, field }: DeclaredColumn): void {
  if (sees !== undefined && !mayAll(viewer)) throw forbidden(`${field} is for administrators to filter by.`, field);
}

/** @throws ClientError FORBIDDEN where one of the values, which are administrators' to give, is not false. */
export function assertMayGive(viewer: Viewer, fields: readonly string[], values: object): void {
  if (mayAll(viewer)) return;
  for (const field of fields) {
    const value = (values as Row)[field];
    if (value !== undefined && value !== false) throw forbidden(`${field} is for administrators to set.`, field);
  }
}

/** @throws ClientError FORBIDDEN where the row would not be one that the viewer may write. */
export function assertMayCreate(viewer: Viewer, table: Declaration, values: object): void {
  if (mayAll(viewer) || isMet(table.write, asRow(table, values), viewer)) return;
  const [owner] = table.write ? ownersIn(table.write) : [];
  throw forbidden(
    owner ? `${owner} must be your own id.` : 'The rights of this table do not let you create this row.',
    owner,
  );
}

/** As rows have them: ids and whole numbers come in several spellings, and moments with zeros at the end. */
function asRow({ columns }: Declaration, values: object): Row {
  const row = { ...(values as Row) };
  for (const { field, kind, type, form } of columns) {
    const value = row[field];
    if (typeof value !== 'string') continue;
    if (kind === 'reference') row[field] = form.parse(value);
    // One that is out of range is none that PostgreSQL takes.
    if (type() === BigInt) row[field] = form.parse(value) ?? value;
    if (type() === DateTime) row[field] = withoutZeros(value);
  }
  return row;
}

/** @throws ClientError FORBIDDEN where a row that the viewer may see is not theirs to write, as it is or as it becomes. */
export function assertMayWrite(viewer: Viewer, table: Declaration, row: object, patch: object = {}): void {
  if (mayAll(viewer)) return;
  const after = asRow(table, { ...row, ...patch });
  if (isMet(table.write, row, viewer) && isMet(table.write, after, viewer)) return;
  throw forbidden('Only the owner and administrators may change this.', 'id');
}

/** The same as PostgreSQL is told it with the write, since the row may be another by then; undefined: anything. */
export const writableBy = (viewer: Viewer, table: Declaration, patch: object): WritableBy | undefined =>
  mayAll(viewer) ? undefined : { claims: claimsOf(viewer), patch: asRow(table, patch) };

/** Whoever is signed in. @throws ClientError UNAUTHENTICATED */
export function signedIn({ user }: Viewer): NonNullable<Viewer['user']> {
  if (user) return user;
  throw signInFirst();
}

const signInFirst = () =>
  new ClientError(
    'UNAUTHENTICATED',
    'Sign in first: send the token of signIn as `Authorization: Bearer …`, or in connectionParams of a websocket.',
  );

export const forbidden = (message: string, field?: string) =>
  new ClientError('FORBIDDEN', message, field === undefined ? {} : { field });
