import { createClient, type Client } from 'graphql-ws';
import { expect } from 'vitest';
import { WebSocket } from 'ws';
import type { Sql } from '../../server/database/connect.ts';
import { quoted } from '../../server/database/connect.ts';
import { identifier } from '../../server/database/sql/columns.ts';
import { keyIn, type Declaration } from '../../server/declare/declaration.ts';
import {
  TableClient,
  digits,
  expectExact,
  fieldsOf,
  inputOf,
  type Row,
} from '../../server/test/support/rows-compared.ts';

interface Page {
  nodes: Row[];
  totalCount: number;
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

/** Tries each table that a server serves as clients would. */
export class Trial {
  readonly #asks: TableClient;
  readonly #client: Client;
  readonly #primary: Sql;
  /** Tables that answered otherwise than they should, each with how. */
  readonly faults = new Map<string, string>();
  /** Tables in which no row could be created, each with why. */
  readonly uncreated: string[] = [];

  constructor(url: string, primary: Sql) {
    this.#asks = new TableClient(url);
    this.#primary = primary;
    this.#client = createClient({
      url: url.replace('http', 'ws'),
      webSocketImpl: WebSocket,
      retryAttempts: 0,
      jsonMessageReviver: digits,
    });
  }

  async end(): Promise<void> {
    await this.#client.dispose();
  }

  async tables(tables: readonly Declaration[]): Promise<void> {
    const rows = new Map<Declaration, Row[]>();
    for (const table of tables) await this.#noting(table, async () => void rows.set(table, await this.#all(table)));
    for (const table of tables) await this.#noting(table, () => this.#write(table, rows.get(table) ?? []));
  }

  async #noting(table: Declaration, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const { actual, expected } = error as { actual?: unknown; expected?: unknown };
      const differ = actual === undefined ? [] : [`got ${JSON.stringify(actual)}`, `for ${JSON.stringify(expected)}`];
      this.faults.set(table.name, [String(error), ...differ].map((part) => part.slice(0, 800)).join(': '));
    }
  }

  /** What is made again may have another key, and what named it then names nothing. */
  async #write(table: Declaration, [first, second]: Row[]): Promise<void> {
    if (!first) return;
    const row = await this.#one(table, first.id);
    await this.#hear(table, row);
    await this.#update(table, row);
    if (second) await this.#create(table, await this.#one(table, second.id));
  }

  /** Page by page. */
  async #all(table: Declaration): Promise<Row[]> {
    const rows: Row[] = [];
    for (let cursor: string | null = null, more = true; more;) {
      const size: number = rows.length === 0 ? 1 : 100;
      const query = `query ($cursor: String) { ${table.many}(first: ${size}, after: $cursor) { nodes ${fieldsOf(table)} totalCount pageInfo { hasNextPage endCursor } } }`;
      const { nodes, totalCount, pageInfo }: Page = (await this.#asks.ask(query, { cursor }))[table.many];
      rows.push(...nodes);
      [cursor, more] = [pageInfo.endCursor, pageInfo.hasNextPage];
      if (!more) expect(rows.length).toBe(totalCount);
    }
    const [{ count }] = await this.#primary.unsafe<[{ count: number }]>(
      `select count(*)::int as count from ${identifier(table.name)}`,
    );
    expect(rows.length).toBe(count);
    expect(new Set(rows.map(({ id }) => id)).size).toBe(count);
    await expectExact(this.#primary as never, table, rows.slice(0, 5));
    if (rows[0]) expect(await this.#one(table, rows[0].id)).toEqual(rows[0]);
    return rows;
  }

  async #one(table: Declaration, id: string): Promise<Row> {
    const data = await this.#asks.ask(`query ($id: ID!) { ${table.one}(id: $id) ${fieldsOf(table)} }`, { id });
    return data[table.one];
  }

  async #hear(table: Declaration, row: Row): Promise<void> {
    const fields = fieldsOf(table);
    const query = `subscription ($tables: [String!]) { changes(tables: $tables) { __typename
      ... on ${table.type.name}Change { table key operation ${table.one} ${fields} before ${fields} } } }`;
    const events = this.#client.iterate<{ changes: Record<string, unknown> }>({
      query,
      variables: { tables: [table.name] },
    });
    const next = async () => {
      const { data, errors } = (await events.next()).value!;
      if (errors) throw new Error(JSON.stringify(errors));
      return data!.changes;
    };
    expect(await next()).toEqual({ __typename: 'CaughtUp' });
    await this.#rewrite(table, row);
    const { __typename, ...told } = await next();
    expect(told).toEqual({ table: table.name, key: row.id, operation: 'UPDATE', [table.one]: row, before: row });
    await events.return!();
  }

  /** As it is, past the application's triggers. */
  async #rewrite(table: Declaration, row: Row): Promise<void> {
    const { name } = table.columns.at(-1)!;
    await this.#apart((sql) =>
      sql.unsafe(
        `update ${identifier(table.name)} t set ${quoted(name)} = t.${quoted(name)} where ${whereKey(table)}`,
        keyIn(table, row.id),
      ),
    );
  }

  async #apart(work: (sql: Sql) => PromiseLike<unknown>): Promise<void> {
    await this.#primary.begin(async (tx) => {
      await tx`set local session_replication_role = replica`;
      await work(tx as unknown as Sql);
    });
  }

  async #update(table: Declaration, row: Row): Promise<void> {
    const { one, type } = table;
    const input = inputOf(table, row, false);
    if (Object.keys(input).length === 0 || table.own.has('update')) return;
    const query = `mutation ($id: ID!, $input: Update${type.name}Input!) { update${type.name}(id: $id, input: $input) { ${one} ${fieldsOf(table)} } }`;
    try {
      const updated = (await this.#asks.ask(query, { id: row.id, input }))[`update${type.name}`][one];
      await this.#expectKept(table, updated, row, input);
    } catch (error) {
      this.#refused(table, 'update', error);
    }
  }

  /** A row that is gone is made again. */
  async #create(table: Declaration, row: Row): Promise<void> {
    const { one, type } = table;
    if (table.own.has('create')) return;
    await this.#apart((sql) =>
      sql.unsafe(`delete from ${identifier(table.name)} t where ${whereKey(table)}`, keyIn(table, row.id)),
    );
    const [variables, given] = table.columns.every(({ kind }) => kind === 'generated')
      ? ['', '']
      : [`($input: Create${type.name}Input!)`, '(input: $input)'];
    const query = `mutation ${variables} { create${type.name}${given} { ${one} ${fieldsOf(table)} } }`;
    const input = inputOf(table, row, true);
    try {
      const created = (await this.#asks.ask(query, { input }))[`create${type.name}`][one];
      await this.#expectKept(table, created, row, input);
    } catch (error) {
      this.#refused(table, 'create', error);
    }
  }

  /** What was answered is what is there, and what was given, where the application's triggers make nothing else of it. */
  async #expectKept(table: Declaration, written: Row, given: Row, input: object): Promise<void> {
    await expectExact(this.#primary as never, table, [written]);
    expect(await this.#one(table, written.id)).toEqual(written);
    const [{ is: isChanged }] = await this.#primary.unsafe<[{ is: boolean }]>(
      `select exists (select from pg_trigger where tgrelid = $1::text::regclass and not tgisinternal) as is`,
      [identifier(table.name)],
    );
    if (!isChanged) expectGiven(written, given, input);
  }

  /** Clients are told that the application's own rules refuse a row; all else is a fault. */
  #refused(table: Declaration, what: string, error: unknown): void {
    const text = String(error);
    const isOwn = /"code":"(?:BAD_USER_INPUT|FORBIDDEN|CONFLICT|NOT_FOUND)"/.test(text);
    if (!isOwn) throw error;
    this.uncreated.push(`${table.name} (${what}): ${/"message":"([^"]*)"/.exec(text)?.[1]}`);
  }
}

/** Relations are fields of other names. */
function expectGiven(written: Row, row: Row, input: object): void {
  const shown = Object.keys(input).filter((field) => field in row);
  expect(shown.map((field) => [field, written[field]])).toEqual(shown.map((field) => [field, row[field]]));
}

const whereKey = (table: Declaration) =>
  table.key.map(({ name, form }, part) => `t.${quoted(name)} = $${part + 1}::text::${form.sql}`).join(' and ');
