import { ClientError } from '../lib/errors.ts';
import type { VisibleTo } from '../store/table.ts';
import { mayAll, type Viewer } from './viewer.ts';

/**
 * Who may what. `users`: whoever is signed in. `owner`: the user whose row it is. Administrators may everything, and so
 * may everybody in open mode. What is not in these tables is for administrators: a new table, operation or field is
 * shown to nobody else before it says here to whom.
 */
export type Who = 'anyone' | 'users' | 'owner' | 'administrators';

/** `owner`: further decided by the row that is written. */
export const OPERATIONS: Readonly<Record<string, Who>> = {
  'Query.me': 'anyone',
  'Query.user': 'users',
  'Query.users': 'users',
  'Query.post': 'users',
  'Query.posts': 'users',
  'Query.replication': 'administrators',
  'Query.subscriptions': 'administrators',
  'Mutation.signIn': 'anyone',
  'Mutation.signOut': 'users',
  'Mutation.renewToken': 'users',
  'Mutation.changePassword': 'users',
  'Mutation.createUser': 'anyone',
  'Mutation.replaceUser': 'owner',
  'Mutation.updateUser': 'owner',
  'Mutation.deleteUser': 'owner',
  'Mutation.createPost': 'owner',
  'Mutation.updatePost': 'owner',
  'Mutation.publishPost': 'owner',
  'Mutation.deletePost': 'owner',
  'Mutation.endSubscription': 'administrators',
  'Subscription.changes': 'users',
  'Subscription.userChanged': 'users',
  'Subscription.postChanged': 'users',
  'Subscription.replication': 'administrators',
  'Subscription.arrivals': 'administrators',
};

export interface TableRights {
  /** The type of its rows. */
  type: string;
  /** The field that has the id of the row's owner. */
  owner: string;
  /**
   * Rows that their owner alone sees: those whose fields have these values, or for which it is true. What a function says
   * PostgreSQL cannot: pages are then cut to what the viewer sees, and rows are not counted for them.
   */
  isPrivate: Values | ((row: Row) => boolean) | false;
  /** Who sees which field of a row that they see. Columns that are no fields of the type are told in changedFields alone. */
  fields: Readonly<Record<string, Who>>;
  /** Values that not even the owner may give. */
  given: Readonly<Record<string, 'administrators'>>;
}

export type Row = Readonly<Record<string, unknown>>;
type Values = Extract<VisibleTo, object>['privateWhile'];

export const TABLES: Readonly<Record<string, TableRights>> = {
  users: {
    type: 'User',
    owner: 'id',
    isPrivate: false,
    fields: {
      id: 'users',
      username: 'users',
      firstName: 'users',
      lastName: 'users',
      createdAt: 'users',
      posts: 'users',
      email: 'owner',
      isActive: 'owner',
      emailVerified: 'owner',
      updatedAt: 'owner',
    },
    // A password is changed with changePassword, which asks for the present one.
    given: { password: 'administrators', emailVerified: 'administrators' },
  },
  posts: {
    type: 'Post',
    owner: 'authorId',
    isPrivate: { publishedAt: null },
    fields: {
      id: 'users',
      authorId: 'users',
      author: 'users',
      title: 'users',
      body: 'users',
      publishedAt: 'users',
      createdAt: 'users',
      updatedAt: 'users',
    },
    given: {},
  },
};

/** @throws ClientError UNAUTHENTICATED or FORBIDDEN. An `owner` passes here: their row is looked at when it is written. */
export function assertMay(viewer: Viewer, operation: string): void {
  const who = OPERATIONS[operation];
  if (who === 'anyone' || mayAll(viewer)) return;
  if (viewer.renewed && operation === 'Mutation.renewToken') return;
  if (!viewer.user) throw signInFirst();
  if (who !== 'users' && who !== 'owner') throw forbidden('This is for administrators.');
}

/** Null where the viewer is not to know that the row is there. */
export function visible<R extends object>(viewer: Viewer, table: string, row: R | null): R | null {
  if (row === null || mayAll(viewer)) return row;
  const rights = TABLES[table];
  if (!rights) return null;
  return isOwner(viewer, rights, row) || !isPrivate(rights, row as Row) ? row : null;
}

function isPrivate({ isPrivate: rule }: TableRights, row: Row): boolean {
  if (typeof rule === 'function') return rule(row);
  return rule !== false && Object.entries(rule).every(([field, value]) => (row[field] ?? null) === value);
}

/** Whether everybody who may ask for the table sees all of its rows. */
export function isAllVisible(table: string): boolean {
  const rule = TABLES[table]?.isPrivate;
  return rule === false || (typeof rule === 'function' && isNever(rule));
}

/** A rule that looks at nothing of a row is the same for all. */
function isNever(rule: (row: Row) => boolean): boolean {
  let hasLooked = false;
  const row = new Proxy({}, { get: () => void (hasLooked = true) });
  try {
    return !rule(row) && !hasLooked;
  } catch {
    return false; // it has looked at what the row does not have
  }
}

/** What of the table's rows lists and counts may have, as PostgreSQL is told it; undefined: all. */
export function visibleTo(viewer: Viewer, table: string): VisibleTo | undefined {
  if (mayAll(viewer) || isAllVisible(table)) return undefined;
  const rights = TABLES[table];
  if (!rights) return 'nobody';
  if (typeof rights.isPrivate === 'function') return undefined;
  // The audience of what is shown to everybody owns nothing.
  return { owner: rights.owner, viewer: viewer.user?.id || null, privateWhile: rights.isPrivate as Values };
}

/** @throws ClientError FORBIDDEN where a number would tell of rows that the viewer does not see. */
export function assertMayCount(viewer: Viewer, table: string): void {
  if (mayAll(viewer) || isAllVisible(table) || typeof TABLES[table]?.isPrivate !== 'function') return;
  throw forbidden('These rows are for administrators to count.', 'totalCount');
}

export function seesField(viewer: Viewer, table: string, row: object, field: string): boolean {
  if (mayAll(viewer)) return true;
  const rights = TABLES[table]!;
  const who = rights.fields[field];
  return who === 'anyone' || who === 'users' || (who === 'owner' && isOwner(viewer, rights, row));
}

const isOwner = ({ user }: Viewer, { owner }: TableRights, row: object) =>
  user !== null && (row as Row)[owner] === user.id;

/** A filter by what the viewer cannot see would tell it. @throws ClientError FORBIDDEN */
export function assertMayFilter(viewer: Viewer, table: string, filter: object): void {
  if (mayAll(viewer)) return;
  for (const [field, value] of Object.entries(filter)) {
    if (value != null && TABLES[table]?.fields[field] === 'owner')
      throw forbidden(`${field} is for administrators to filter by.`, field);
  }
}

/** @throws ClientError FORBIDDEN where a value is not theirs to give. */
export function assertMayGive(viewer: Viewer, table: string, values: object): void {
  if (mayAll(viewer)) return;
  const rights = TABLES[table];
  for (const [field, value] of Object.entries(values)) {
    const isRefused = rights?.given[field] !== undefined && value !== undefined && value !== false;
    if (isRefused) throw forbidden(`${field} is for administrators to set.`, field);
  }
}

/** @throws ClientError FORBIDDEN where the row would not be the viewer's. */
export function assertMayCreate(viewer: Viewer, table: string, values: object): void {
  if (mayAll(viewer)) return;
  const rights = TABLES[table];
  if (!rights || !isOwner(viewer, rights, lowerCased(values, rights.owner)))
    throw forbidden(`${rights?.owner ?? 'This'} must be yourself.`, rights?.owner);
}

/** Ids come in upper or lower case. */
const lowerCased = (values: object, field: string) => ({ [field]: String((values as Row)[field]).toLowerCase() });

/** @throws ClientError FORBIDDEN where a row that the viewer may see is another's. */
export function assertOwns(viewer: Viewer, table: string, row: object): void {
  if (mayAll(viewer) || isOwner(viewer, TABLES[table]!, row)) return;
  throw forbidden('Only the owner and administrators may change this.', 'id');
}

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
