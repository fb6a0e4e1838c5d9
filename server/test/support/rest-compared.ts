import { expect } from 'vitest';
import type { Declaration } from '../../declare/declaration.ts';
import { restPath } from '../../http/rest.ts';
import { inputOf, type Row } from './rows-compared.ts';
import { freeRow, isKeyOnly, type ServedTables } from './served-tables.ts';

const snake = (field: string) => field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const inSnake = (values: object) =>
  Object.fromEntries(Object.entries(values).map(([field, value]) => [snake(field), value]));

/** A row as REST has it: foreign keys have the id of what they name. `gone`: of a row that is there no more. */
function restOf({ columns }: Declaration, row: Row, gone?: string): Record<string, unknown> {
  const values = columns.map(({ field, reference }) => {
    if (!reference) return [field, row[field]];
    const named = (row[reference.as] as Row | null)?.id;
    return [field, named === undefined || named === gone ? null : named];
  });
  return inSnake({ id: row.id, ...Object.fromEntries(values) });
}

const pathOf = (table: Declaration, { id }: Pick<Row, 'id'>) =>
  ['.', '..'].includes(id) ? `${restPath(table)}?id=${id}` : `${restPath(table)}/${encodeURIComponent(id)}`;

/** What REST has of the rows is what GraphQL has, and it writes them as they are. */
export async function expectSameByRest(served: ServedTables, table: Declaration, rows: Row[]): Promise<void> {
  const { asks } = served;
  const listed: unknown[] = [];
  for (let path: string | undefined = `${restPath(table)}?limit=2`; path !== undefined;) {
    const { status, body, link }: Awaited<ReturnType<typeof asks.rest>> = await asks.rest('GET', path);
    expect([path, status, body.count]).toEqual([path, 200, body.data?.length]);
    listed.push(...body.data);
    path = /^<(.*)>; rel="next"$/.exec(link ?? '')?.[1];
  }
  expect([table.name, listed]).toEqual([table.name, rows.map((row) => restOf(table, row))]);
  for (const row of rows) {
    const path = pathOf(table, row);
    const is = { path, status: 200, data: restOf(table, row) };
    expect(await sent(served, 'GET', path)).toEqual(is);
    const patch = inSnake(inputOf(table, row, false));
    expect(await sent(served, 'PATCH', path, patch)).toEqual(isKeyOnly(table) ? { path, status: 404 } : is);
  }
  await expectMadeAgain(served, table, rows);
}

async function sent({ asks }: ServedTables, method: string, path: string, given?: object) {
  const { status, body } = await asks.rest(method, path, given);
  return status < 300
    ? { path, status, data: body.data }
    : { path, status, ...(status !== 404 && { error: body.message }) };
}

async function expectMadeAgain(served: ServedTables, table: Declaration, rows: Row[]): Promise<void> {
  const row = await freeRow(served, table, rows);
  if (!row || table.own.has('create')) return;
  const path = pathOf(table, row);
  expect(await sent(served, 'DELETE', path)).toEqual({ path, status: 200, data: restOf(table, row, row.id) });
  expect(await sent(served, 'GET', path)).toEqual({ path, status: 404 });
  const input = inSnake(inputOf(table, row, true));
  const { status, body, location } = await served.asks.rest('POST', restPath(table), input);
  expect([table.name, status, body.message]).toEqual([table.name, 201, `${table.type.name} created`]);
  expect(location).toBe(pathOf(table, body.data));
  expect(await sent(served, 'GET', location!)).toEqual({ path: location, status: 200, data: body.data });
  const given = (data: Record<string, unknown>) =>
    Object.fromEntries(Object.keys(input).map((name) => [name, data[name]]));
  expect([table.name, given(body.data)]).toEqual([table.name, given(restOf(table, row))]);
}
