import {
  getNamedType,
  getNullableType,
  GraphQLError,
  isCompositeType,
  isInterfaceType,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  print,
  typeFromAST,
  type ASTVisitor,
  type DirectiveNode,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLCompositeType,
  type GraphQLOutputType,
  type NameNode,
  type SelectionSetNode,
  type ValidationContext,
  type ValueNode,
} from 'graphql';
import { tooComplex } from '../lib/errors.ts';
import { fragmentsIn } from './measure.ts';

/** A part of what is selected, of values of this type; undefined where the document is wrong about it. */
interface Part {
  set: SelectionSetNode;
  type: GraphQLCompositeType | undefined;
}

interface Selected {
  node: FieldNode;
  parent: GraphQLCompositeType | undefined;
  /** Undefined: there is no such field, or it is `__typename`. */
  type: GraphQLOutputType | undefined;
}

/**
 * "Field selection merging" of the specification: fields that answer under one name must be the same. graphql's own rule
 * compares each two of them, so that a small document takes long; here each is compared with the first of its name, and
 * what is selected below those of one name is gathered and compared in the same way. The time grows with the selections,
 * as often as fragments repeat them: check them first, as one that holds itself would take for ever.
 */
export function fieldsMergeRule(context: ValidationContext): ASTVisitor {
  return {
    OperationDefinition: ({ selectionSet }) => {
      const root = [{ set: selectionSet, type: context.getType() as GraphQLCompositeType | undefined }];
      const merging = new Merging(context);
      merging.check(root, thatMeet, differenceOfField);
      // Fields of types that exclude each other may differ, but for the shape of what they answer.
      merging.check(root, (fields) => [fields], differenceOfShape);
    },
  };
}

/** Fields of interfaces are compared once for each type beside them, level by level: far more than any document in use. */
const MOST_COMPARED = 100_000;

class Merging {
  readonly #context: ValidationContext;
  readonly #reported = new Set<FieldNode>();
  #compared = 0;

  constructor(context: ValidationContext) {
    this.#context = context;
  }

  /** Reports each name whose fields, in one of the groups, are not all like the first. */
  check(
    parts: readonly Part[],
    groupsOf: (fields: Selected[]) => Selected[][],
    difference: (a: Selected, b: Selected) => string | undefined,
  ): void {
    for (const [name, fields] of this.#collect(parts)) {
      for (const group of groupsOf(fields)) {
        this.#compared += group.length;
        if (this.#compared > MOST_COMPARED)
          throw tooComplex(`compares more than ${MOST_COMPARED} fields of interfaces with each other`);
        const [first] = group;
        const other = group.find((field) => difference(first!, field) !== undefined);
        if (other) this.#report(name, first!, other, difference(first!, other)!);
        else this.check(group.flatMap(below), groupsOf, difference);
      }
    }
  }

  #collect(parts: readonly Part[]): Map<string, Selected[]> {
    const byName = new Map<string, Selected[]>();
    const spread = new Set<string>();
    const add = ({ set, type }: Part): void => {
      for (const selection of set.selections) {
        if (selection.kind === Kind.FIELD) {
          const name = (selection.alias ?? selection.name).value;
          const field = { node: selection, parent: type, type: typeOf(selection, type) };
          const fields = byName.get(name);
          if (fields) fields.push(field);
          else byName.set(name, [field]);
        } else if (selection.kind === Kind.INLINE_FRAGMENT) {
          const condition = selection.typeCondition;
          add({ set: selection.selectionSet, type: condition ? this.#typeNamed(condition) : type });
        } else if (!spread.has(selection.name.value)) {
          spread.add(selection.name.value);
          const fragment = this.#context.getFragment(selection.name.value);
          if (fragment) add({ set: fragment.selectionSet, type: this.#typeNamed(fragment.typeCondition) });
        }
      }
    };
    parts.forEach(add);
    return byName;
  }

  #typeNamed(node: Parameters<typeof typeFromAST>[1]): GraphQLCompositeType | undefined {
    const type = typeFromAST(this.#context.getSchema(), node);
    return isCompositeType(type) ? type : undefined;
  }

  #report(name: string, { node: a }: Selected, { node: b }: Selected, why: string): void {
    if (this.#reported.has(b)) return;
    this.#reported.add(b);
    const message = `Fields "${name}" conflict because ${why}. Use different aliases on the fields to fetch both if this was intentional.`;
    this.#context.reportError(new GraphQLError(message, { nodes: [a, b] }));
  }
}

function below({ node: { selectionSet: set }, type }: Selected): Part[] {
  const named = type && getNamedType(type);
  return set ? [{ set, type: isCompositeType(named) ? named : undefined }] : [];
}

function typeOf({ name: { value } }: FieldNode, parent: Selected['parent']): GraphQLOutputType | undefined {
  return isObjectType(parent) || isInterfaceType(parent) ? parent.getFields()[value]?.type : undefined;
}

/** Two object types exclude each other; all else may be of the same value. */
function thatMeet(fields: Selected[]): Selected[][] {
  const first = fields[0]!.parent;
  if (fields.every(({ parent }) => parent === first)) return [fields];
  const anywhere = fields.filter(({ parent }) => !isObjectType(parent));
  const types = new Set(fields.map(({ parent }) => parent).filter(isObjectType));
  if (types.size === 0) return [fields];
  return Array.from(types, (type) => fields.filter(({ parent }) => parent === type).concat(anywhere));
}

function differenceOfField({ node: a }: Selected, { node: b }: Selected): string | undefined {
  if (a === b) return undefined;
  if (a.name.value !== b.name.value) return `"${a.name.value}" and "${b.name.value}" are different fields`;
  return argumentsOf(a) === argumentsOf(b) ? undefined : 'they have differing arguments';
}

const argumentsOf = ({ arguments: given = [] }: FieldNode) => sorted(given);

const sorted = (named: readonly { name: NameNode; value: ValueNode }[]) =>
  named
    .map(({ name, value }) => `${name.value}:${textOf(value)}`)
    .toSorted()
    .join();

/** The same for values that differ in the order of their fields alone. */
function textOf(value: ValueNode): string {
  if (value.kind === Kind.OBJECT) return `{${sorted(value.fields)}}`;
  return value.kind === Kind.LIST ? `[${value.values.map(textOf).join()}]` : print(value);
}

function differenceOfShape({ type: a }: Selected, { type: b }: Selected): string | undefined {
  if (!a || !b || a === b || hasSameShape(a, b)) return undefined;
  return `they return conflicting types "${a.toString()}" and "${b.toString()}"`;
}

function hasSameShape(a: GraphQLOutputType, b: GraphQLOutputType): boolean {
  if (isNonNullType(a) !== isNonNullType(b)) return false;
  const [inA, inB] = [getNullableType(a), getNullableType(b)];
  if (isListType(inA) || isListType(inB))
    return isListType(inA) && isListType(inB) && hasSameShape(inA.ofType, inB.ofType);
  return inA === inB || (isCompositeType(inA) && isCompositeType(inB));
}

const CONDITIONS = new Set(['skip', 'include']);

/**
 * The specification has it since September 2025: what a subscription is for does not depend on variables. graphql 16
 * fails where a condition leaves no field at all, and its rule about the one field fails at a variable.
 */
export function conditionalSubscriptions(document: DocumentNode): GraphQLError[] {
  const byName = fragmentsIn(document);
  const nodes = document.definitions.flatMap((definition) =>
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
