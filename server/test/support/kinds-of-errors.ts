import {
  Kind,
  parse,
  print,
  visit,
  type DocumentNode,
  type FragmentDefinitionNode,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';

/** An answer as compiled.test.ts has it: errors are texts. */
export interface Kinds {
  answered: string;
  kinds: Set<string>;
}

/** What is answered, and the kinds of errors; one that has no place is of a kind of its own. */
export function kindsIn(answer: string): Kinds {
  const { status, data, errors } = JSON.parse(answer) as { status: number; data: unknown; errors?: string[] };
  const kinds = (errors ?? []).map((error) => {
    const { message, path, locations, extensions } = JSON.parse(error) as Record<string, unknown>;
    return JSON.stringify([message, extensions, Array.isArray(path), Array.isArray(locations)]);
  });
  return { answered: JSON.stringify([status, data ?? null]), kinds: new Set(kinds) };
}

/**
 * All kinds of errors that a document has: the first that comes may make all null, and keep the others from being told,
 * so the fields that failed are left out, until nothing fails any more.
 */
export async function kindsOf(query: string, ask: (query: string) => Promise<string>): Promise<Set<string>> {
  const document = withoutFragments(parse(query));
  const kinds = new Set<string>();
  const failed = new Set<string>();
  for (let known = -1; failed.size > known;) {
    known = failed.size;
    const answer = await ask(withoutFields(document, failed));
    for (const kind of kindsIn(answer).kinds) kinds.add(kind);
    for (const path of pathsIn(answer)) failed.add(keyOf(path));
  }
  return kinds;
}

const keyOf = (path: readonly string[]) => JSON.stringify(path);

/** Of the errors that have a place; the items of a list are one place. */
function pathsIn(answer: string): string[][] {
  const { errors = [] } = JSON.parse(answer) as { errors?: string[] };
  const paths = errors.map((error) => (JSON.parse(error) as { path?: (string | number)[] }).path ?? []);
  return paths.filter(({ length }) => length > 0).map((path) => path.filter((key) => typeof key === 'string'));
}

/** Each spread is what it spreads, so that a field has one path. */
function withoutFragments(document: DocumentNode): OperationDefinitionNode {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions)
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  const spread = (set: SelectionSetNode): SelectionSetNode =>
    visit(set, {
      FragmentSpread: ({ name, directives }) => {
        const { typeCondition, selectionSet } = fragments.get(name.value)!;
        return { kind: Kind.INLINE_FRAGMENT, typeCondition, directives, selectionSet: spread(selectionSet) };
      },
    });
  const operation = document.definitions.find((definition) => definition.kind === Kind.OPERATION_DEFINITION)!;
  return { ...operation, selectionSet: spread(operation.selectionSet) };
}

/** With the variables that are left. */
function withoutFields(operation: OperationDefinitionNode, failed: ReadonlySet<string>): string {
  const left = (set: SelectionSetNode, path: string[]): SelectionSetNode => {
    const selections = set.selections.flatMap((selection) => {
      const within = selection.kind === Kind.FIELD ? [...path, (selection.alias ?? selection.name).value] : path;
      if (selection.kind === Kind.FIELD && failed.has(keyOf(within))) return [];
      if (selection.kind === Kind.FRAGMENT_SPREAD || !selection.selectionSet) return [selection];
      return [{ ...selection, selectionSet: left(selection.selectionSet, within) }];
    });
    return { ...set, selections: selections.length > 0 ? selections : [TYPENAME] };
  };
  const selectionSet = left(operation.selectionSet, []);
  const used = new Set<string>();
  visit(selectionSet, { Variable: ({ name }) => void used.add(name.value) });
  const variableDefinitions = operation.variableDefinitions?.filter(({ variable }) => used.has(variable.name.value));
  return print({ ...operation, variableDefinitions, selectionSet });
}

const TYPENAME = { kind: Kind.FIELD, name: { kind: Kind.NAME, value: '__typename' } } as const;
