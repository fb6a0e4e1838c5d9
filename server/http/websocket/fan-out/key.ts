import { visit, type DocumentNode, type OperationDefinitionNode } from 'graphql';

/** Arguments of a feed subscription that say where it starts: they make no difference to any event. */
const START = new Set(['after', 'snapshot']);

/** What subscriptions must have in common to share each event's execution. */
export function groupKey(
  query: string,
  operation: OperationDefinitionNode,
  document: DocumentNode,
  variables: object,
  rights: string,
): string {
  const start = startVariables(operation, document);
  const rest = Object.entries(variables).filter(([name]) => !start.has(name));
  return JSON.stringify([query, operation.name?.value ?? null, rest.toSorted(([a], [b]) => (a < b ? -1 : 1)), rights]);
}

/** Variables that say where to start, and are used for nothing else. */
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
