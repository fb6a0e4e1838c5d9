import { GraphQLError, GraphQLScalarType, buildSchema, type GraphQLSchema } from 'graphql';
import { expect, test } from 'vitest';
import { Budget } from '../lib/budget.ts';
import { Documents } from './documents.ts';
import { Limits } from './limits.ts';
import { Masking } from './masking.ts';
import type { Operation } from './operation.ts';
import { Pipeline } from './pipeline.ts';

const MANY = { known: 10_000, anonymous: 10_000 };
const limits = { depth: 10, aliases: 10, cost: 1000, answer: 100_000, socketOperations: 10, subscriptionBytes: 1000 };

function pipelineOf(schema: GraphQLSchema): Pipeline {
  const budget = new Budget({ requestsPerSecond: Infinity, costPerSecond: Infinity });
  const options = { ...limits, socketsPerAddress: 10, socketUnsentBytes: 1000, operationTimeoutMs: 1000 };
  return new Pipeline({
    schema,
    documents: new Documents(schema, { introspection: true, tokens: MANY, characters: MANY, selections: MANY }),
    limits: new Limits(schema, options, budget, { rows: new Map() }),
    masking: new Masking({ error: () => undefined } as never, undefined),
    trusted: undefined,
  });
}

/** Of somebody who may do everything; each is run once. */
const operation = () =>
  ({
    viewer: { isOpen: true, user: null },
    reads: { hasWritten: false },
    report: { source: 'none', waitedMs: 0 },
    begun: () => undefined,
    turn: () => undefined,
    release: () => undefined,
  }) as unknown as Operation;

/** With a scalar that takes no value, and counts how often it is asked to. */
function counting() {
  const schema = buildSchema('scalar Odd  input In { odd: Odd }  type Query { one(odd: Odd, in: In): Int }');
  const asked = { times: 0 };
  (schema.getType('Odd') as GraphQLScalarType).parseValue = () => {
    asked.times++;
    throw new GraphQLError('It is even.');
  };
  return { pipeline: pipelineOf(schema), asked };
}

test.for([
  ['a scalar', 'query ($odd: Odd) { one(odd: $odd) }', { odd: 2 }, 2],
  ['an object', 'query ($in: In) { one(in: $in) }', { in: { odd: 2 } }, 1],
] as const)('a variable that is wrong is coerced no more often than it takes to say so: %s', async (given) => {
  const [, query, variables, most] = given;
  const { pipeline, asked } = counting();
  // As often as it takes to be compiled.
  for (let time = 0; time < 6; time++) {
    asked.times = 0;
    const { status, result } = await pipeline.run(operation(), { query, variables });
    expect(status).toBe(400);
    expect(result.errors?.map(({ message }) => message)).toEqual([
      expect.stringMatching(/got invalid value 2.*It is even/),
    ]);
    expect(asked.times).toBeLessThanOrEqual(most);
  }
});

test('a document is read once, whichever way and however often it comes', async () => {
  const { pipeline } = counting();
  const query = '{ one }';
  const first = operation();
  await pipeline.run(first, { query });
  for (const via of ['http', 'rest', 'websocket'] as const) {
    const next = Object.assign(operation(), { via });
    await pipeline.run(next, { query });
    expect(next.prepared).toBe(first.prepared);
  }
});
