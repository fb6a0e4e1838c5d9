import {
  GraphQLError,
  Kind,
  type DirectiveNode,
  type DocumentNode,
  type FragmentDefinitionNode,
  type SelectionSetNode,
} from 'graphql';

const CONDITIONS = new Set(['skip', 'include']);

/**
 * The specification has it since September 2025: what a subscription is for does not depend on variables. graphql 16
 * fails where a condition leaves no field at all, and its rule about the one field fails at a variable.
 */
export function conditionalSubscriptions({ definitions }: DocumentNode): GraphQLError[] {
  const fragments = definitions.filter((definition) => definition.kind === Kind.FRAGMENT_DEFINITION);
  const byName = new Map(fragments.map((fragment) => [fragment.name.value, fragment]));
  const nodes = definitions.flatMap((definition) =>
    definition.kind === Kind.OPERATION_DEFINITION && definition.operation === 'subscription'
      ? conditionsIn(definition.selectionSet, byName, new Set())
      : [],
  );
  const message = 'A subscription must not use `@skip` or `@include` at its top level: leave them out there.';
  return nodes.length > 0 ? [new GraphQLError(message, { nodes })] : [];
}

function conditionsIn(
  { selections }: SelectionSetNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  spread: Set<string>,
): DirectiveNode[] {
  return selections.flatMap((selection) => {
    const own = selection.directives?.filter(({ name }) => CONDITIONS.has(name.value)) ?? [];
    if (selection.kind === Kind.FIELD) return own;
    if (selection.kind === Kind.INLINE_FRAGMENT)
      return [...own, ...conditionsIn(selection.selectionSet, fragments, spread)];
    const { value: name } = selection.name;
    const fragment = spread.has(name) ? undefined : fragments.get(name);
    spread.add(name);
    return fragment ? [...own, ...conditionsIn(fragment.selectionSet, fragments, spread)] : own;
  });
}
