import type postgres from 'postgres';

/** The same numbers again for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const MOMENTS = [
  'infinity',
  '-infinity',
  '4714-11-24 00:00:00+00 BC',
  '0044-03-15 12:00:00.5+00 BC',
  '0001-01-01 00:00:00+00',
  '1880-05-01 12:00:00+00',
  '2026-01-31 12:00:00.123456+00',
  '294276-12-31 23:59:59.999999+00',
];

type Step = (sql: postgres.TransactionSql) => Promise<unknown>;

/** Few ids, so that one that was freed is soon taken again. */
const KEYS = 12;

/** Transactions of users and posts, of which a copy by key has the most to get wrong. */
export class Workload {
  readonly #random: () => number;
  readonly #ids: string[];
  #serial = 0;

  constructor(seed: number) {
    this.#random = randomFrom(seed);
    this.#ids = Array.from({ length: KEYS }, () => this.#uuid());
  }

  async transaction(primary: postgres.Sql): Promise<void> {
    const steps = Array.from({ length: 1 + this.#below(6) }, () => this.#pick(this.#steps));
    await primary.begin(async (sql) => {
      for (const step of steps) await step(sql);
    });
  }

  readonly #steps: Step[] = [
    ...Array<Step>(4).fill((sql) => this.#insertUser(sql, this.#id())),
    ...Array<Step>(3).fill((sql) => this.#insertPost(sql)),
    (sql) => sql`update users set first_name = ${this.#text(10)} where id = ${this.#id()}`,
    (sql) => sql`update users set created_at = ${this.#moment()}::text::timestamptz where id = ${this.#id()}`,
    (sql) => sql`update posts set published_at = ${this.#moment()}::text::timestamptz where id = ${this.#id()}`,
    // The body is large, and is not sent again.
    (sql) => sql`update posts set title = ${this.#text(20)} where author_id = ${this.#id()}`,
    (sql) => this.#move(sql, 'posts', this.#id(), this.#id()),
    (sql) => this.#move(sql, 'users', this.#id(), this.#id()),
    (sql) => sql`update posts set id = gen_random_uuid() where author_id = ${this.#id()}`,
    (sql) => this.#chain(sql),
    (sql) => this.#swap(sql, this.#pick(['users', 'posts'] as const)),
    (sql) => sql`delete from users where id = ${this.#id()}`,
    (sql) => sql`delete from posts where id = ${this.#id()}`,
    (sql) => this.#replace(sql),
    (sql) => this.#undone(sql),
    (sql) => this.#emptied(sql),
  ];

  async #insertUser(sql: postgres.TransactionSql, id: string): Promise<void> {
    const name = `${this.#serial++}`;
    await sql`
      insert into users (id, username, email, password_hash, created_at)
      values (${id}, ${name}, ${`${name}@example.com`}, '-', ${this.#moment()}::text::timestamptz) on conflict do nothing`;
  }

  async #insertPost(sql: postgres.TransactionSql): Promise<void> {
    await sql`
      insert into posts (id, author_id, title, body)
      select ${this.#id()}, id, 'new', ${this.#text(20_000)} from users where id = ${this.#id()} on conflict do nothing`;
  }

  /** Where the one is there, the other is free and, of a user, no post holds on to it. */
  async #move(sql: postgres.TransactionSql, table: 'users' | 'posts', from: string, to: string): Promise<boolean> {
    const free = table === 'users' ? sql`not exists (select from posts where author_id = ${from})` : sql`true`;
    const { count } = await sql`
      update ${sql(table)} set id = ${to} where id = ${from} and ${free}
        and not exists (select from ${sql(table)} where id = ${to})`;
    return count > 0;
  }

  /** To a free key, then to the one that was just freed, and so on. */
  async #chain(sql: postgres.TransactionSql): Promise<void> {
    let to = this.#uuid();
    for (const from of this.#ids) if (await this.#move(sql, 'posts', from, to)) to = from;
  }

  async #swap(sql: postgres.TransactionSql, table: 'users' | 'posts'): Promise<void> {
    const [one, other, between] = [this.#id(), this.#id(), this.#uuid()];
    if (!(await this.#move(sql, table, one, between))) return;
    await this.#move(sql, table, other, one);
    await this.#move(sql, table, between, other);
  }

  async #replace(sql: postgres.TransactionSql): Promise<void> {
    const id = this.#id();
    await sql`delete from users where id = ${id}`;
    await this.#insertUser(sql, id);
    await this.#insertPost(sql);
  }

  /** Seldom: little is left of what was wrong before. */
  async #emptied(sql: postgres.TransactionSql): Promise<void> {
    if (this.#random() < 0.5) return;
    await this.#insertUser(sql, this.#id());
    await this.#insertPost(sql);
    await (this.#random() < 0.5 ? sql`truncate posts` : sql`truncate users cascade`);
    await this.#insertUser(sql, this.#id());
    await this.#insertPost(sql);
  }

  async #undone(sql: postgres.TransactionSql): Promise<void> {
    const undo = new Error('undone');
    const work = sql.savepoint(async (inner) => {
      await inner`delete from posts`;
      await this.#insertUser(inner, this.#id());
      throw undo;
    });
    await work.catch((error: unknown) => {
      if (error !== undo) throw error;
    });
  }

  #below(most: number): number {
    return Math.floor(this.#random() * most);
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)]!;
  }

  #id(): string {
    return this.#pick(this.#ids);
  }

  #moment(): string {
    return this.#pick(MOMENTS);
  }

  #uuid(): string {
    return this.#hex(32).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  }

  /** Nothing that could be made shorter. */
  #text(most: number): string {
    return this.#hex(1 + this.#below(most));
  }

  #hex(length: number): string {
    return Array.from({ length }, () => this.#below(16).toString(16)).join('');
  }
}
