import type { Sql } from '../db/connect.ts';
import {
  countUsers,
  pageOfUsers,
  usersByIds,
  type UserFilter,
  type UserOrderField,
  type UserRow,
} from '../store/users.ts';
import type { PageRequest } from '../store/keyset.ts';
import { Batcher, type Batch } from './batcher.ts';
import type { Seen } from '../store/seen.ts';

export interface UserPageKey {
  filter: UserFilter;
  page: PageRequest<UserOrderField>;
}

/** Look-ups by key are quick and alike: two statements at once keep the connection busy, and more keys share the next. */
const KEYS_IN_FLIGHT = 2;
/** Questions differ in cost: none waits for another; the pool bounds them. */
const UNBOUNDED = Infinity;

/** The process-wide batchers of one server: what all requests that read there ask for in one turn goes out together. */
export class Readers {
  readonly userById: Batcher<string, UserRow | null>;
  readonly userPage: Batcher<string, UserRow[]>;
  readonly userCount: Batcher<string, number>;

  constructor(sql: Sql) {
    this.userById = new Batcher(async (ids) => byKey(ids, await usersByIds(sql, ids), ({ id }) => id), KEYS_IN_FLIGHT);
    this.userPage = new Batcher(
      each(
        (key: UserPageKey) => pageOfUsers(sql, key.filter, key.page),
        (rows) => rows,
      ),
      UNBOUNDED,
    );
    this.userCount = new Batcher(
      each(
        (filter: UserFilter) => countUsers(sql, filter),
        (rows) => rows[0]?.count ?? 0,
      ),
      UNBOUNDED,
    );
  }
}

/** The rows in the keys' order, null where there is none. */
function byKey<Row>(keys: string[], { rows, seen }: Seen<Row>, keyOf: (row: Row) => string): Batch<Row | null> {
  const found = new Map(rows.map((row) => [keyOf(row), row]));
  return { values: keys.map((key) => found.get(key) ?? null), seen };
}

/** Distinct questions are statements of their own, all at once; equal ones are one. Keys are questions as JSON. */
function each<Question, Row, Value>(ask: (question: Question) => Promise<Seen<Row>>, toValue: (rows: Row[]) => Value) {
  return async (keys: string[]): Promise<Batch<Value>> => {
    const answers = await Promise.all(keys.map((key) => ask(JSON.parse(key) as Question)));
    const seen = answers.reduce((latest, answer) => (answer.seen > latest ? answer.seen : latest), 0n);
    return { values: answers.map(({ rows }) => toValue(rows)), seen };
  };
}

const readersOf = new WeakMap<Sql, Readers>();

/** One set for each connection pool, made when first read from. */
export function readersFor(sql: Sql): Readers {
  const existing = readersOf.get(sql);
  if (existing) return existing;
  const readers = new Readers(sql);
  readersOf.set(sql, readers);
  return readers;
}
