import {
  getArgumentValues,
  getNamedType,
  GraphQLInterfaceType,
  GraphQLObjectType,
  isLeafType,
  Kind,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLSchema,
  type OperationDefinitionNode,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import { allTables } from '../declare/declaration.ts';

/** What an operation may come to, at most. */
export interface Measure {
  depth: number;
  /** As often as fragments repeat them. */
  aliases: number;
  /** Rows and single objects that are read, and what counts cost; each page is one more. */
  cost: number;
}

/** Of a part of it. */
interface Part extends Measure {
  /** It counts: what that costs, the page says that it is a part of. */
  counts: boolean;
}

const NOTHING: Part = { depth: 0, aliases: 0, cost: 0, counts: false };
const DEFAULT_PAGE = 20;
/** Of a connection: the rows are counted where the page is. */
const FREE = new Set(['nodes', 'edges', 'node', 'pageInfo']);
const COUNTS = new Set(['totalCount']);
const SIZES = new Set(['first', 'last']);

/**
 * Measures an operation that is valid. Each fragment is measured once, however often it is spread: fragments that spread
 * others twice would else take time that doubles with each. `variables` are coerced. `isFixed`: it comes to the same with
 * any of them.
 */
export function measure(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
  countCost: CountCost,
): Measure & { isFixed: boolean } {
  const root = schema.getRootType(operation.operation);
  const measuring = new Measuring(schema, document, variables, countCost);
  const { depth, aliases, cost } = root ? measuring.of(operation.selectionSet, root) : NOTHING;
  return { depth, aliases, cost, isFixed: measuring.isFixed };
}

class Measuring {
  isFixed = true;
  readonly #schema: GraphQLSchema;
  readonly #variables: Readonly<Record<string, unknown>>;
  readonly #fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  readonly #measured = new Map<string, Part>();
  readonly #countCost: CountCost;

  constructor(
    schema: GraphQLSchema,
    document: DocumentNode,
    variables: Readonly<Record<string, unknown>>,
    countCost: CountCost,
  ) {
    this.#countCost = countCost;
    this.#schema = schema;
    this.#variables = variables;
    this.#fragments = fragmentsIn(document);
  }

  of({ selections }: SelectionSetNode, type: GraphQLNamedType | undefined): Part {
    return selections.map((selection) => this.#ofSelection(selection, type)).reduce(both, NOTHING);
  }

  #ofSelection(selection: SelectionNode, type: GraphQLNamedType | undefined): Part {
    switch (selection.kind) {
      case Kind.FIELD:
        return this.#ofField(selection, type);
      case Kind.INLINE_FRAGMENT: {
        const name = selection.typeCondition?.name.value;
        return this.of(selection.selectionSet, name === undefined ? type : this.#schema.getType(name));
      }
      case Kind.FRAGMENT_SPREAD:
        return this.#ofFragment(selection.name.value);
    }
  }

  #ofFragment(name: string): Part {
    const known = this.#measured.get(name);
    if (known) return known;
    const fragment = this.#fragments.get(name);
    if (!fragment) return NOTHING;
    const made = this.of(fragment.selectionSet, this.#schema.getType(fragment.typeCondition.name.value));
    this.#measured.set(name, made);
    return made;
  }

  /** Introspection is bounded by the schema, and by graphql's own rule. */
  #ofField(node: FieldNode, type: GraphQLNamedType | undefined): Part {
    const name = node.name.value;
    const aliases = node.alias ? 1 : 0;
    const field = fieldOf(type, name);
    if (!field || !node.selectionSet || isLeafType(getNamedType(field.type)))
      return { depth: name.startsWith('__') ? 0 : 1, aliases, cost: 0, counts: COUNTS.has(name) };
    const page = getNamedType(field.type);
    const below = this.of(node.selectionSet, page);
    const count = below.counts ? this.#countCost(page.name, type!.name) : 0;
    const cost = this.#costOf(node, field, below.cost) + count;
    return { depth: below.depth + 1, aliases: below.aliases + aliases, cost, counts: false };
  }

  #costOf(node: FieldNode, field: GraphQLField<unknown, unknown>, below: number): number {
    if (FREE.has(field.name)) return below;
    const isPage = field.args.some(({ name }) => name === 'first');
    return isPage ? 1 + this.#pageSize(node, field) * (1 + below) : 1 + below;
  }

  /** As its resolver will find it: by literal, by variable, by the variable's default or by the argument's own. */
  #pageSize(node: FieldNode, field: GraphQLField<unknown, unknown>): number {
    const sizes = node.arguments?.filter(({ name }) => SIZES.has(name.value)) ?? [];
    if (sizes.some(({ value }) => value.kind === Kind.VARIABLE)) this.isFixed = false;
    const given = this.#argumentsOf(node, field);
    const numbers = [given['first'], given['last']].filter((size) => typeof size === 'number');
    return numbers.length === 0 ? DEFAULT_PAGE : Math.max(0, ...numbers);
  }

  /** None where they are not of their types: the field is refused then, and reads nothing. */
  #argumentsOf(node: FieldNode, field: GraphQLField<unknown, unknown>): Record<string, unknown> {
    try {
      return getArgumentValues(field, node, this.#variables);
    } catch {
      return {}; // validation, or the field, says why
    }
  }
}

const both = (a: Part, b: Part): Part => ({
  depth: Math.max(a.depth, b.depth),
  aliases: a.aliases + b.aliases,
  cost: a.cost + b.cost,
  counts: a.counts || b.counts,
});

function fieldOf(type: GraphQLNamedType | undefined, name: string): GraphQLField<unknown, unknown> | undefined {
  const hasFields = type instanceof GraphQLObjectType || type instanceof GraphQLInterfaceType;
  return hasFields ? type.getFields()[name] : undefined;
}

/** What a count costs, by the types of the page that it is of and of what that page is a field of. */
export type CountCost = (page: string, parent: string) => number;

/** A row that is counted takes about a twentieth of the time of one that is read, resolved and sent. */
const COUNTED_FOR_ONE = 20;

/**
 * A count reads all that it counts: those of a table all its rows, as many as the planner knows of; those under a row as
 * many as there are for each on average. It never costs more than a fifth of what an operation may: what takes longer
 * than a statement may is ended.
 */
export function countCosts(
  schema: GraphQLSchema,
  rows: ReadonlyMap<string, number>,
  { cost: most }: { cost: number },
): CountCost {
  const tables = new Map(allTables().map(({ type, name }) => [type.name, name]));
  const rowsOf = (type: string): number | undefined => rows.get(tables.get(type) ?? '');
  return (page, parent) => {
    const counted = rowsOf(nodesOf(schema, page)) ?? 0;
    const among = Math.max(1, rowsOf(parent) ?? 1);
    return Math.max(1, Math.min(Math.ceil(counted / among / COUNTED_FOR_ONE), Math.floor(most / 5)));
  };
}

function nodesOf(schema: GraphQLSchema, page: string): string {
  const type = schema.getType(page);
  const nodes = type instanceof GraphQLObjectType ? type.getFields()['nodes'] : undefined;
  return nodes ? getNamedType(nodes.type).name : '';
}

/**
 * Selections of a document, in all its operations, as often as fragments repeat them; infinite where a fragment holds
 * itself. Each fragment is counted once, however often it is spread.
 */
export function selectionsIn(document: DocumentNode): number {
  const fragments = fragmentsIn(document);
  const counted = new Map<string, number>();
  const countIn = ({ selections }: SelectionSetNode): number =>
    selections.reduce((sum, selection) => sum + below(selection), selections.length);
  const below = (selection: SelectionNode): number => {
    if (selection.kind !== Kind.FRAGMENT_SPREAD) return selection.selectionSet ? countIn(selection.selectionSet) : 0;
    const name = selection.name.value;
    const fragment = fragments.get(name);
    if (!fragment) return 0;
    if (!counted.has(name)) {
      counted.set(name, Infinity); // while it is counted
      counted.set(name, countIn(fragment.selectionSet));
    }
    return counted.get(name)!;
  };
  return document.definitions
    .filter((definition) => definition.kind === Kind.OPERATION_DEFINITION)
    .reduce((sum, { selectionSet }) => sum + countIn(selectionSet), 0);
}

export function fragmentsIn({ definitions }: DocumentNode): ReadonlyMap<string, FragmentDefinitionNode> {
  const fragments = definitions.filter((definition) => definition.kind === Kind.FRAGMENT_DEFINITION);
  return new Map(fragments.map((fragment) => [fragment.name.value, fragment]));
}
