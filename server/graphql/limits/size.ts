import { Kind, type DocumentNode, type FragmentDefinitionNode, type SelectionSetNode } from 'graphql';

/**
 * Selections of a document, in all its operations, as often as fragments repeat them; infinite where a fragment holds
 * itself. Each fragment is counted once, however often it is spread.
 */
export function selectionsIn({ definitions }: DocumentNode): number {
  const fragments = definitions.filter((definition) => definition.kind === Kind.FRAGMENT_DEFINITION);
  const counting = new Counting(fragments);
  return definitions
    .filter((definition) => definition.kind === Kind.OPERATION_DEFINITION)
    .reduce((sum, { selectionSet }) => sum + counting.in(selectionSet), 0);
}

class Counting {
  readonly #fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  /** Of a fragment that is being counted, it is infinite. */
  readonly #counted = new Map<string, number>();

  constructor(fragments: readonly FragmentDefinitionNode[]) {
    this.#fragments = new Map(fragments.map((fragment) => [fragment.name.value, fragment]));
  }

  in({ selections }: SelectionSetNode): number {
    let sum = selections.length;
    for (const selection of selections) {
      if (selection.kind === Kind.FRAGMENT_SPREAD) sum += this.#of(selection.name.value);
      else if (selection.selectionSet) sum += this.in(selection.selectionSet);
    }
    return sum;
  }

  #of(name: string): number {
    const known = this.#counted.get(name);
    if (known !== undefined) return known;
    const fragment = this.#fragments.get(name);
    if (!fragment) return 0;
    this.#counted.set(name, Infinity);
    const count = this.in(fragment.selectionSet);
    this.#counted.set(name, count);
    return count;
  }
}
