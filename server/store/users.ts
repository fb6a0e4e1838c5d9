import { uuidArray, type Fragment, type Sql, type Statement } from '../db/connect.ts';
import { keysetPage, type PageRequest } from './keyset.ts';
import { split, type Seen, type WithSeen } from './seen.ts';

/** A row of users as both sides have it. Timestamps are ISO 8601 text in UTC. */
export interface UserRow {
  id: string;
  username: string;
  email: string;
  firstName: string | null;
  lastName: string | null;
  isActive: boolean;
  emailVerified: boolean;
  createdAt: string;
  updatedAt: string;
}

export interface UserFilter {
  /** A prefix of username, email, first or last name, upper or lower case alike. */
  search?: string | null;
  isActive?: boolean | null;
}

/** Columns that pages can be ordered by, each with an index. */
export const USER_ORDERS = { CREATED_AT: 'createdAt', USERNAME: 'username' } as const;
export type UserOrderField = keyof typeof USER_ORDERS;

const columns = (sql: Sql): Fragment => sql`
  u.id, u.username, u.email, u.first_name, u.last_name, u.is_active, u.email_verified, u.created_at, u.updated_at`;

export async function usersByIds(sql: Sql, ids: readonly string[]): Promise<Seen<UserRow>> {
  const result = await sql<WithSeen<UserRow>[]>`
    select s.seen, ${columns(sql)} from readback.seen() s(seen) left join users u on u.id = any(${uuidArray(ids)}::uuid[])`;
  return split(result, 'id');
}

/** One row more than asked for, where there is one: it says that another page follows. */
export async function pageOfUsers(
  sql: Sql,
  filter: UserFilter,
  page: PageRequest<UserOrderField>,
): Promise<Seen<UserRow>> {
  const { condition, order } = keysetPage(sql, page, USER_ORDERS);
  const result = await sql<WithSeen<UserRow>[]>`
    select s.seen, u.* from readback.seen() s(seen) left join (
      select ${columns(sql)} from users u where ${matches(sql, filter)} and ${condition} order by ${order} limit ${page.limit + 1}
    ) u on true order by ${order}`;
  return split(result, 'id');
}

export async function countUsers(sql: Sql, filter: UserFilter): Promise<Seen<{ count: number }>> {
  const result = await sql<WithSeen<{ count: number }>[]>`
    select readback.seen() as seen, count(*)::int as count from users u where ${matches(sql, filter)}`;
  return split(result, 'count');
}

function matches(sql: Sql, { search, isActive }: UserFilter): Fragment {
  const active = isActive == null ? sql`true` : sql`u.is_active = ${isActive}`;
  if (search == null || search === '') return active;
  const prefix = `${search.toLowerCase().replace(/[\\%_]/g, '\\$&')}%`;
  return sql`${active} and (lower(u.username) like ${prefix} or lower(u.email) like ${prefix}
    or lower(u.first_name) like ${prefix} or lower(u.last_name) like ${prefix})`;
}

export interface NewUser {
  username: string;
  email: string;
  passwordHash: string;
  firstName: string | null;
  lastName: string | null;
}

export function insertUser(sql: Sql, user: NewUser): Statement<UserRow> {
  return sql<UserRow[]>`
    insert into users as u (username, email, password_hash, first_name, last_name)
    values (${user.username}, ${user.email}, ${user.passwordHash}, ${user.firstName}, ${user.lastName})
    returning ${columns(sql)}`;
}

/** Only what is set is written; the keys are those of checked inputs. */
export type UserPatch = Partial<NewUser & { isActive: boolean; emailVerified: boolean }>;

export function updateUser(sql: Sql, id: string, patch: UserPatch): Statement<UserRow> {
  return sql<UserRow[]>`update users u set ${sql(patch)} where id = ${id} returning ${columns(sql)}`;
}

export function deleteUser(sql: Sql, id: string): Statement<UserRow> {
  return sql<UserRow[]>`delete from users u where id = ${id} returning ${columns(sql)}`;
}
