import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { GraphQLFormattedError } from 'graphql';
import type { Declaration } from '../declare/declaration.ts';
import { badInput, notFound } from '../lib/errors.ts';
import { parseExactly } from '../lib/exact-json.ts';
import { maskError, statusOf } from '../graphql/masking.ts';
import type { Operations } from '../graphql/operation.ts';
import type { Pipeline } from '../graphql/pipeline.ts';
import { addHeaders, begin } from './exchange.ts';

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
    addWrites(app, table, run);
  }
}

export const restPath = ({ name }: Declaration) => `/api/${name.replaceAll('_', '-')}`;

function addReads(app: FastifyInstance, table: Declaration, run: Run): void {
  const [path, documents] = [restPath(table), documentsOf(table)];
  app.get<WithPage>(path, async (request, reply) => {
    const { limit, after } = request.query;
    const variables = { first: limit === undefined ? null : parseLimit(limit), after: after ?? null };
    const { nodes, pageInfo } = await run<Page>(documents.list, variables, request, reply);
    if (pageInfo.hasNextPage) void reply.header('link', nextLink(path, limit, pageInfo.endCursor));
    return { success: true, data: nodes.map(toRest), count: nodes.length };
  });

  app.get<WithId>(`${path}/:id`, async (request, reply) => {
    const row = await run<Row | null>(documents.one, request.params, request, reply);
    if (!row) throw notFound(table.one, request.params.id);
    return { success: true, data: toRest(row) };
  });
}

function addWrites(app: FastifyInstance, table: Declaration, run: Run): void {
  const [path, documents] = [restPath(table), documentsOf(table)];
  const written = (payload: Record<string, Row>, what: string) => ({
    success: true,
    message: `${table.type.name} ${what}`,
    data: toRest(payload[table.one]!),
  });

  app.post(path, async (request, reply) => {
    const variables = (body: unknown) => ({ input: fromRest(body) });
    const payload = await run<Record<string, Row>>(documents.create, variables, request, reply);
    void reply.code(201).header('location', `${path}/${String(payload[table.one]!['id'])}`);
    return written(payload, 'created');
  });

  const change = (query: string, what: string) => async (request: FastifyRequest<WithId>, reply: FastifyReply) => {
    const variables = (body: unknown) => ({ ...request.params, input: fromRest(body) });
    return written(await run<Record<string, Row>>(query, variables, request, reply), what);
  };
  if (table.own.has('replace')) app.put<WithId>(`${path}/:id`, change(documents.replace, 'replaced'));
  app.patch<WithId>(`${path}/:id`, change(documents.update, 'updated'));

  app.delete<WithId>(`${path}/:id`, async (request, reply) =>
    written(await run<Record<string, Row>>(documents.delete, request.params, request, reply), 'deleted'),
  );
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

/** What the routes of a table run, each with one field. */
function documentsOf({ type: { name }, one, many, columns }: Declaration) {
  const fields = columns.filter(({ kind }) => kind !== 'reference').map(({ field }) => field);
  const row = `{ ${fields.join(' ')} }`;
  const change = (verb: string) =>
    `mutation ${verb}${name}($id: ID!, $input: ${verb}${name}Input!) { ${verb.toLowerCase()}${name}(id: $id, input: $input) { ${one} ${row} } }`;
  return {
    list: `query ${name}List($first: Int, $after: String) { ${many}(first: $first, after: $after) { nodes ${row} pageInfo { hasNextPage endCursor } } }`,
    one: `query ${name}($id: ID!) { ${one}(id: $id) ${row} }`,
    create: `mutation Create${name}($input: Create${name}Input!) { create${name}(input: $input) { ${one} ${row} } }`,
    replace: change('Replace'),
    update: change('Update'),
    delete: `mutation Delete${name}($id: ID!) { delete${name}(id: $id) { ${one} ${row} } }`,
  };
}

const toSnake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const toCamel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** GraphQL's camelCase fields in snake_case. */
function toRest(row: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [toSnake(name), value]));
}

/** The body's snake_case fields as GraphQL's input. Names that are not snake_case are no fields of ours. */
function fromRest(body: unknown): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badInput(
      'The body must be a JSON object such as {"first_name": "Ada"}, sent with content-type: application/json.',
    );
  }
  const entries = Object.entries(body).map(([name, value]) => {
    if (toSnake(toCamel(name)) !== name)
      throw badInput(
        `There is no field ${name.slice(0, 50)}: fields are in snake_case, such as first_name.`,
        name.slice(0, 50),
      );
    return [toCamel(name), value];
  });
  return Object.fromEntries(entries);
}
