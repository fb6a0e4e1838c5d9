import fc from 'fast-check';
import { buildSchema, getVariableValues, Kind, parse, type OperationDefinitionNode } from 'graphql';
import { expect, test } from 'vitest';
import { Variables } from './variables.ts';

const schema = buildSchema(`
  enum Colour { RED GREEN }
  input Box { size: Int = 3 colour: Colour! }
  scalar Any
  type Query { none: Int }
`);
const TYPES = ['Int', 'Float', 'String', 'Boolean', 'ID', 'Colour', 'Any', 'Box', '[Int]', '[Colour!]'];
const PRESETS: Record<string, string> = {
  Int: '5',
  String: '"x"',
  ID: '7',
  Colour: 'GREEN',
  Boolean: 'null',
  Box: '{ colour: RED }',
};
const value = fc.oneof(
  fc.constantFrom<unknown[]>(
    undefined,
    null,
    'RED',
    'BLUE',
    '',
    1,
    1.5,
    2 ** 40,
    true,
    [],
    [1, null],
    {},
    { colour: 'RED' },
  ),
  fc.jsonValue({ maxDepth: 2 }),
);
const declared = fc.record({
  name: fc.constantFrom('a', 'b', 'toString', '__proto__'),
  type: fc.constantFrom(...TYPES),
  isNonNull: fc.boolean(),
  hasPreset: fc.boolean(),
  value,
});

test('variables are coerced as graphql does it', () => {
  const property = fc.property(
    fc.uniqueArray(declared, { selector: ({ name }) => name, maxLength: 3 }),
    (variables) => {
      const definitions = variables.map(({ name, type, isNonNull, hasPreset }) => {
        const preset = hasPreset && PRESETS[type] ? ` = ${PRESETS[type]}` : '';
        return `$${name}: ${type}${isNonNull ? '!' : ''}${preset}`;
      });
      const text = `query ${definitions.length > 0 ? `(${definitions.join(' ')})` : ''} { none }`;
      const operation = parse(text).definitions.find(
        (definition): definition is OperationDefinitionNode => definition.kind === Kind.OPERATION_DEFINITION,
      )!;
      const held = variables.filter((one) => one.value !== undefined).map((one) => [one.name, one.value]);
      const sent = JSON.parse(JSON.stringify(Object.fromEntries(held))) as Record<string, unknown>;
      const { coerced } = getVariableValues(schema, operation.variableDefinitions ?? [], sent);
      expect(new Variables(schema, operation.variableDefinitions).coerce(sent).coerced).toEqual(coerced);
    },
  );
  fc.assert(property, { numRuns: 2000 });
});
