import type { Fragment, Sql } from '../db/connect.ts';
import { prefixPattern, Table } from './table.ts';

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
  /** Search the names alone. */
  withoutEmail?: boolean;
}

export type UserOrderField = 'CREATED_AT' | 'USERNAME';

/** What can be written: on the primary a hash besides. */
export interface UserValues {
  username: string;
  email: string;
  passwordHash: string;
  firstName: string | null;
  lastName: string | null;
  isActive?: boolean;
  emailVerified?: boolean;
}

export const users = new Table<UserRow, UserFilter, UserOrderField, UserValues>({
  name: 'users',
  one: 'user',
  columns: (sql) => sql`id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at`,
  orders: {
    CREATED_AT: { column: 'createdAt', type: 'timestamptz' },
    USERNAME: { column: 'username', type: 'text' },
  },
  matches: (sql, { search, isActive, withoutEmail }) => [
    isActive == null ? null : sql`t.is_active = ${isActive}`,
    search ? startsWith(sql, prefixPattern(sql, search), withoutEmail === true) : null,
  ],
});

const startsWith = (sql: Sql, pattern: Fragment, withoutEmail: boolean): Fragment => sql`
  (lower(t.username) like ${pattern} ${withoutEmail ? sql`` : sql`or lower(t.email) like ${pattern}`}
    or lower(t.first_name) like ${pattern} or lower(t.last_name) like ${pattern})`;
