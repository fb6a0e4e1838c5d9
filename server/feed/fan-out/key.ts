import { createHash } from 'node:crypto';
import { exactJson } from '../../declare/scalars.ts';
import { print, separateOperations, visit, type DocumentNode, type OperationDefinitionNode } from 'graphql';

/** Arguments of a feed subscription that say where it starts: they make no difference to any event. */
const START = new Set(['after', 'snapshot', 'latest']);

/** What an operation asks for, however its document is written. */
interface Shape {
  /** Without comments, white space, other operations, and what the operation and its variables are called by. */
  text: string;
  /** Variables that say where to start, and are used for nothing else. */
  start: ReadonlySet<string>;
}

const shapes = new WeakMap<OperationDefinitionNode, Shape>();

/**
 * What subscriptions must have in common to share each event's execution. `variables` are coerced: of those that come to
 * the same, it makes no difference how they were declared.
 */
export function groupKey(
  operation: OperationDefinitionNode,
  document: DocumentNode,
  variables: object,
  rights: string,
): string {
  const { text, start } = shapeOf(operation, document);
  const rest = Object.entries(variables).filter(([name]) => !start.has(name));
  const all = exactJson([text, rest.toSorted(([a], [b]) => (a < b ? -1 : 1)), rights]);
  return createHash('sha256').update(all).digest('base64url');
}

function shapeOf(operation: OperationDefinitionNode, document: DocumentNode): Shape {
  const known = shapes.get(operation);
  if (known) return known;
  const made = { text: textOf(operation, document), start: startVariables(operation, document) };
  shapes.set(operation, made);
  return made;
}

function textOf(operation: OperationDefinitionNode, document: DocumentNode): string {
  const { definitions } = separateOperations(document)[operation.name?.value ?? '']!;
  const texts = definitions.map((definition) =>
    print(
      definition.kind === operation.kind ? { ...definition, name: undefined, variableDefinitions: [] } : definition,
    ),
  );
  return texts.toSorted().join('\n');
}

function startVariables(operation: OperationDefinitionNode, document: DocumentNode): Set<string> {
  const uses = new Map<string, number>();
  const count = (name: string, by: number) => uses.set(name, (uses.get(name) ?? 0) + by);
  visit(document, {
    VariableDefinition: (node) => {
      count(node.variable.name.value, -1);
    },
    Variable: (node) => {
      count(node.name.value, 1);
    },
  });
  const [field] = operation.selectionSet.selections;
  const args = field?.kind === 'Field' ? (field.arguments ?? []) : [];
  const named = args.flatMap(({ name, value }) =>
    START.has(name.value) && value.kind === 'Variable' ? [value.name.value] : [],
  );
  return new Set(named.filter((name) => uses.get(name) === 1));
}
