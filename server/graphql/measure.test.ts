import fc from 'fast-check';
import { buildSchema, getVariableValues, Kind, parse, type OperationDefinitionNode } from 'graphql';
import { expect, test } from 'vitest';
import { measure } from './measure.ts';

const schema = buildSchema(`
  type Page { nodes: [Row!]! totalCount: Int! }
  type Row { id: ID! rows(first: Int, last: Int): Page! few(first: Int = 3): Page! }
  type Query { rows(first: Int, last: Int): Page! few(first: Int = 3): Page! }
  type Mutation { rows(first: Int, last: Int): Page! few(first: Int = 3): Page! }
  type Subscription { rows(first: Int, last: Int): Page! few(first: Int = 3): Page! }
`);

function costOf(text: string, variables: Record<string, unknown> = {}): number {
  const document = parse(text);
  const operation = document.definitions.find(
    (definition): definition is OperationDefinitionNode => definition.kind === Kind.OPERATION_DEFINITION,
  )!;
  const { coerced } = getVariableValues(schema, operation.variableDefinitions ?? [], variables);
  return measure(schema, document, operation, coerced!, () => 1).cost;
}

const size = fc.option(fc.integer({ min: -2, max: 200 }));
const kind = fc.constantFrom('query', 'mutation', 'subscription');

test('a size costs the same by literal, by variable and by default', () => {
  const property = fc.property(size, size, fc.constantFrom('rows', 'few'), kind, (outer, inner, field, root) => {
    const of = (a: string, b: string) =>
      `{ ${field}(first: ${a}) { nodes { rows(last: ${b}) { nodes { id } totalCount } } } }`;
    const expected = costOf(`${root} ${of(String(outer), String(inner))}`);
    expect(costOf(`${root} ($a: Int, $b: Int) ${of('$a', '$b')}`, { a: outer, b: inner })).toBe(expected);
    expect(costOf(`${root} ($a: Int = ${outer}, $b: Int = ${inner}) ${of('$a', '$b')}`)).toBe(expected);
    expect(costOf(`${root} ($a: Int = 7, $b: Int = 7) ${of('$a', '$b')}`, { a: outer, b: inner })).toBe(expected);
    const spread = `${root} ($a: Int, $b: Int) { ...F } fragment F on ${root[0]!.toUpperCase()}${root.slice(1)} ${of('$a', '$b')}`;
    expect(costOf(spread, { a: outer, b: inner })).toBe(expected);
  });
  fc.assert(property, { numRuns: 300 });
});

test("a size that is left out is the argument's own default, or a page's", () => {
  const of = (field: string, args: string) => `{ ${field}${args} { nodes { id } } }`;
  expect(costOf(of('few', ''))).toBe(costOf(of('few', '(first: 3)')));
  expect(costOf(`query ($n: Int) ${of('few', '(first: $n)')}`)).toBe(costOf(of('few', '(first: 3)')));
  expect(costOf(of('rows', ''))).toBe(costOf(of('rows', '(first: 20)')));
  expect(costOf(`query ($n: Int) ${of('rows', '(first: $n)')}`)).toBe(costOf(of('rows', '(first: 20)')));
  expect(costOf(`query ($n: Int = 100) ${of('rows', '(first: $n)')}`, { n: null })).toBe(
    costOf(of('rows', '(first: null)')),
  );
});
