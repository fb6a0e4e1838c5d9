import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { GraphQLFormattedError, GraphQLSchema } from 'graphql';
import type { Declaration } from '../declare/declaration.ts';
import { badInput, notFound } from '../lib/errors.ts';
import { parseExactly } from '../lib/exact-json.ts';
import { maskError, statusOf } from '../graphql/masking.ts';
import type { Operations } from '../graphql/operation.ts';
import type { Pipeline } from '../graphql/pipeline.ts';
import { addHeaders, begin } from './graphql.ts';

type WithId = { Params: { id: string } };
type WithPage = { Querystring: { limit?: string; after?: string } };
type Row = Record<string, unknown>;
type Page = { nodes: Row[]; pageInfo: { hasNextPage: boolean; endCursor: string } };

/** Runs a document; the data of its only field. `variables` of what is read of the body. */
type Run = <Data>(
  query: string,
  variables: object | ((body: unknown) => object),
  request: FastifyRequest,
  reply: FastifyReply,
) => Promise<Data>;

/** The routes of tables that ask for them. Each runs a document through the pipeline: there is no second code path. */
export function addRest(
  app: FastifyInstance,
  tables: readonly Declaration[],
  pipeline: Pipeline,
  operations: Operations,
): void {
  const run = runner(pipeline, operations);
  for (const table of tables.filter(({ hasRest }) => hasRest)) {
    addReads(app, table, run);
    addWrites(app, table, pipeline.schema, run);
  }
}

/** What clients call the list: no two tables have the same, and a name in SQL may have any character. */
export const restPath = ({ many }: Declaration) => `/api/${many.replace(/[A-Z]/g, '-$&').toLowerCase()}`;

/** Where a row is. Clients take `.` and `..` in a path for steps between folders, encoded or not: these ids are in the query. */
const rowPath = (table: Declaration, id: string) =>
  /^\.\.?$/.test(id) ? `${restPath(table)}?id=${id}` : `${restPath(table)}/${encodeURIComponent(id)}`;

/** As the routes have it: with the id in the path. */
export const routedPath = (url: string) => url.replace(/^(\/api\/[^/?]+)\?id=((?:\.|%2e){1,2})$/i, '$1/$2');

function addReads(app: FastifyInstance, table: Declaration, run: Run): void {
  const [path, documents] = [restPath(table), readsOf(table)];
  app.get<WithPage>(path, async (request, reply) => {
    const { limit, after } = request.query;
    const variables = { first: limit === undefined ? null : parseLimit(limit), after: after ?? null };
    const { nodes, pageInfo } = await run<Page>(documents.list, variables, request, reply);
    if (pageInfo.hasNextPage) void reply.header('link', nextLink(path, limit, pageInfo.endCursor));
    return { success: true, data: nodes.map((row) => toRest(table, row)), count: nodes.length };
  });

  app.get<WithId>(`${path}/:id`, async (request, reply) => {
    const row = await run<Row | null>(documents.one, request.params, request, reply);
    if (!row) throw notFound(table.one, request.params.id);
    return { success: true, data: toRest(table, row) };
  });
}

/** A route is there where the schema has the mutation that it runs. */
function addWrites(app: FastifyInstance, table: Declaration, schema: GraphQLSchema, run: Run): void {
  const [path, one] = [restPath(table), `${restPath(table)}/:id`];
  const route = (
    verb: string,
    add: (answer: (request: FastifyRequest, reply: FastifyReply) => Promise<Row>) => void,
  ) => {
    const found = mutationOf(table, schema, verb);
    if (!found) return;
    const { document, hasInput } = found;
    add(async (request, reply) => {
      const params = request.params as object;
      const variables = hasInput ? (body: unknown) => ({ ...params, input: fromRest(table, body) }) : params;
      return (await run<Record<string, Row>>(document, variables, request, reply))[table.one]!;
    });
  };
  const written = (row: Row, what: string) => ({
    success: true,
    message: `${table.type.name} ${what}`,
    data: toRest(table, row),
  });

  route('create', (answer) =>
    app.post(path, async (request, reply) => {
      const row = await answer(request, reply);
      void reply.code(201).header('location', rowPath(table, row['id'] as string));
      return written(row, 'created');
    }),
  );
  route('replace', (answer) => app.put(one, async (...sent) => written(await answer(...sent), 'replaced')));
  route('update', (answer) => app.patch(one, async (...sent) => written(await answer(...sent), 'updated')));
  route('delete', (answer) => app.delete(one, async (...sent) => written(await answer(...sent), 'deleted')));
}

/** Carries the pipeline's first error to the error handler. */
class RestError extends Error {
  readonly told: GraphQLFormattedError;

  constructor(told: GraphQLFormattedError) {
    super(told.message);
    this.told = told;
  }
}

function runner(pipeline: Pipeline, operations: Operations): Run {
  return async <Data>(query: string, given: Parameters<Run>[1], request: FastifyRequest, reply: FastifyReply) => {
    const of = (body: unknown) => ({ ...(typeof given === 'function' ? given(body) : given) });
    const variables = of(request.body);
    const operation = await begin(operations, request, reply, 'rest');
    const exact = typeof given === 'function' ? () => of(parseExactly(request.text)) : undefined;
    const outcome = await pipeline.run(operation, { query, variables, exact });
    addHeaders(request, reply, outcome);
    const { errors, data } = outcome.result;
    if (errors?.[0]) throw new RestError(errors[0]);
    return Object.values(data!)[0] as Data;
  };
}

function parseLimit(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw badInput(`limit must be a whole number from 0 to 100, got: ${text.slice(0, 50)}`, 'limit');
}

/** Relative, as the server knows its own name by what clients say it is. */
function nextLink(path: string, limit: string | undefined, after: string): string {
  const query = new URLSearchParams({ ...(limit !== undefined && { limit }), after });
  return `<${path}?${query.toString()}>; rel="next"`;
}

/** A client's error as REST has it. Undefined: it is none, and the log's business. */
export function restErrorBody(error: unknown, reply: FastifyReply) {
  const told = error instanceof RestError ? error.told : fromClientError(error);
  if (!told) return undefined;
  const { code = 'INTERNAL_SERVER_ERROR', field, retryAfter } = (told.extensions ?? {}) as Extensions;
  if (retryAfter !== undefined) void reply.header('retry-after', retryAfter);
  void reply.code(statusOf(code));
  return { success: false, message: told.message, error: code, ...(field !== undefined && { field }) };
}

interface Extensions {
  code?: string;
  field?: string;
  retryAfter?: number;
}

function fromClientError(error: unknown): GraphQLFormattedError | undefined {
  const masked = maskError({ message: '' }, error);
  return masked.extensions?.['code'] === 'INTERNAL_SERVER_ERROR' ? undefined : masked;
}

/** Foreign keys have the id of the row that they name, where the viewer sees that. */
function rowOf({ columns }: Declaration): string {
  const fields = columns.map(({ field, reference }) => (reference ? `${reference.as} { id }` : field));
  return `{ ${[...new Set(['id', ...fields])].join(' ')} }`;
}

/** What the routes of a table run, each with one field. */
function readsOf(table: Declaration) {
  const { type, one, many } = table;
  const row = rowOf(table);
  return {
    list: `query ${type.name}List($first: Int, $after: String) { ${many}(first: $first, after: $after) { nodes ${row} pageInfo { hasNextPage endCursor } } }`,
    one: `query ${type.name}($id: ID!) { ${one}(id: $id) ${row} }`,
  };
}

function mutationOf(table: Declaration, schema: GraphQLSchema, verb: string) {
  const name = `${verb}${table.type.name}`;
  const found = schema.getMutationType()?.getFields()[name]?.args;
  if (!found) return undefined;
  const args = found.filter((arg) => arg.name === 'id' || arg.name === 'input');
  const list = (of: (arg: (typeof args)[number]) => string) => (args.length > 0 ? `(${args.map(of).join(', ')})` : '');
  const [declared, given] = [
    list((arg) => `$${arg.name}: ${String(arg.type)}`),
    list((arg) => `${arg.name}: $${arg.name}`),
  ];
  return {
    document: `mutation ${capital(name)}${declared} { ${name}${given} { ${table.one} ${rowOf(table)} } }`,
    hasInput: args.some((arg) => arg.name === 'input'),
  };
}

const capital = (name: string) => name.charAt(0).toUpperCase() + name.slice(1);
const toSnake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const toCamel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** GraphQL's camelCase fields in snake_case. */
function toRest({ columns }: Declaration, row: Row): Record<string, unknown> {
  const values = columns.map(({ field, reference }) => {
    const value = reference ? ((row[reference.as] as Row | null)?.['id'] ?? null) : row[field];
    return [toSnake(field), value] as const;
  });
  return Object.fromEntries([['id', row['id']], ...values]);
}

/** The body's snake_case fields as GraphQL's input. Names that are not snake_case are no fields of ours. */
function fromRest({ columns }: Declaration, body: unknown): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badInput(
      'The body must be a JSON object such as {"first_name": "Ada"}, sent with content-type: application/json.',
    );
  }
  const fields = new Map(columns.map(({ field }) => [toSnake(field), field]));
  const entries = Object.entries(body).map(([name, value]) => {
    const field = fields.get(name) ?? toCamel(name);
    if (toSnake(field) !== name)
      throw badInput(
        `There is no field ${name.slice(0, 50)}: fields are in snake_case, such as first_name.`,
        name.slice(0, 50),
      );
    return [field, value];
  });
  return Object.fromEntries(entries);
}
