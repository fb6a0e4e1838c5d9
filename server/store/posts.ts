import type { Fragment, Sql, Statement } from '../db/connect.ts';
import { prefixPattern, Table } from './table.ts';

/** A row of posts as both sides have it. Timestamps are ISO 8601 text in UTC. */
export interface PostRow {
  id: string;
  authorId: string;
  title: string;
  body: string;
  publishedAt: string | null;
  createdAt: string;
  updatedAt: string;
}

export interface PostFilter {
  /** A prefix of the title, upper or lower case alike. */
  search?: string | null;
  authorId?: string | null;
  published?: boolean | null;
}

export type PostOrderField = 'CREATED_AT' | 'TITLE';
export type PostValues = Pick<PostRow, 'authorId' | 'title' | 'body'>;

const columns = (sql: Sql): Fragment => sql`id, author_id, title, body, published_at, created_at, updated_at`;

export const posts = new Table<PostRow, PostFilter, PostOrderField, PostValues>({
  name: 'posts',
  one: 'post',
  columns,
  orders: { CREATED_AT: { column: 'createdAt', type: 'timestamptz' }, TITLE: { column: 'title', type: 'text' } },
  matches: (sql, { search, authorId, published }) => [
    search ? sql`lower(t.title) like ${prefixPattern(sql, search)}` : null,
    authorId == null ? null : sql`t.author_id = ${authorId}`,
    published == null ? null : sql`(t.published_at is not null) = ${published}`,
  ],
});

/** Sets the date once: a post that is published already is answered as it is. */
export function publishPost(sql: Sql, id: string): Statement<PostRow> {
  return sql<PostRow[]>`
    update posts set published_at = coalesce(published_at, now()) where id = ${id} returning ${columns(sql)}`;
}
