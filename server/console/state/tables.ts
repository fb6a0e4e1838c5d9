import type { InputValue, Schema, SchemaField, SchemaType, TypeRef } from '../api/introspect.ts';

/** A field of a row or of an input, with the type that is within lists and what is never null. */
export interface Column {
  name: string;
  /** As GraphQL writes it: `[String!]!`. */
  type: string;
  /** The scalar's or the enum's. */
  of: string;
  isList: boolean;
  /** Never null; of an input: to be given. */
  isRequired: boolean;
  /** Of an enum its values. */
  values: readonly string[] | undefined;
}

export interface Input extends Column {
  description: string | null;
}

/** A to-one relation: the row's field that has the other row. */
export interface Reference {
  name: string;
  type: string;
}

/** A mutation of rows, as one calls it. */
export interface Mutation {
  name: string;
  /** The field of its answer that has the row. */
  row: string;
  /** Undefined: it takes none, as a delete. */
  inputType: string | undefined;
  inputs: readonly Input[];
}

/** A table, as clients know it. */
export interface Table {
  /** Of its rows. */
  type: string;
  /** The query of its pages, by which people call it. */
  name: string;
  /** The query of one row by its id. */
  one: string | undefined;
  columns: readonly Column[];
  references: readonly Reference[];
  filter: { type: string; inputs: readonly Input[] } | undefined;
  order: { type: string; fields: readonly string[] } | undefined;
  create: Mutation | undefined;
  update: Mutation | undefined;
  delete: Mutation | undefined;
  /** Of its changes, with the field of the row after the change. */
  change: { type: string; row: string } | undefined;
}

/** The field that has the whole key of every row. */
export const ID = 'id';

/**
 * The tables of a schema, in its order. A table is a type whose rows a query gives in pages; what else there is of it is known
 * by the types that it takes and answers. Where several fields fit, as a project may have operations of its own, the one
 * with the name that the server makes is meant: `createNote` of the type Note.
 */
export function tablesIn(schema: Schema): Table[] {
  return new Finder(schema).tables();
}

/** The type that lists, and what is never null, are of. */
const namedIn = (type: TypeRef): TypeRef => (type.ofType ? namedIn(type.ofType) : type);
const nullable = (type: TypeRef): TypeRef => (type.kind === 'NON_NULL' ? type.ofType! : type);
const isOne = (type: TypeRef) => nullable(type).kind === 'OBJECT';

function written(type: TypeRef): string {
  if (type.kind === 'NON_NULL') return `${written(type.ofType!)}!`;
  return type.kind === 'LIST' ? `[${written(type.ofType!)}]` : type.name!;
}

class Finder {
  readonly #types: ReadonlyMap<string, SchemaType>;
  readonly #queries: readonly SchemaField[];
  readonly #mutations: readonly SchemaField[];
  readonly #changes: readonly SchemaType[];

  constructor({ types, queryType, mutationType }: Schema) {
    this.#types = new Map(types.map((type) => [type.name, type]));
    this.#queries = this.#fieldsOf(queryType.name);
    this.#mutations = mutationType ? this.#fieldsOf(mutationType.name) : [];
    this.#changes = types.filter(({ interfaces }) => interfaces?.some(({ name }) => name === 'Change'));
  }

  tables(): Table[] {
    const pages = new Map<string, SchemaField>();
    for (const query of this.#queries) {
      const type = this.#rowsOf(query);
      if (type === undefined) continue;
      const other = pages.get(type);
      // A query of the project's own may give such pages, too: the table's has all of the arguments.
      if (!other || other.args.length < query.args.length) pages.set(type, query);
    }
    const known = new Set(pages.keys());
    return [...pages].map(([type, query]) => this.#table(type, query, known));
  }

  #fieldsOf(type: string): readonly SchemaField[] {
    return this.#types.get(type)?.fields ?? [];
  }

  /** The type of the rows that the query gives in pages; undefined: it gives none. */
  #rowsOf({ type, args }: SchemaField): string | undefined {
    if (!isOne(type) || !['first', 'after'].every((name) => args.some((arg) => arg.name === name))) return undefined;
    const fields = this.#fieldsOf(namedIn(type).name!);
    const nodes = fields.find(({ name }) => name === 'nodes')?.type;
    const row = nodes && nullable(nodes).kind === 'LIST' ? namedIn(nodes).name! : undefined;
    const hasId = row !== undefined && this.#fieldsOf(row).some(({ name }) => name === ID);
    return hasId && fields.some(({ name }) => name === 'pageInfo') ? row : undefined;
  }

  #table(type: string, { name, args }: SchemaField, known: ReadonlySet<string>): Table {
    const fields = this.#fieldsOf(type).filter((field) => field.args.every(({ type: arg }) => arg.kind !== 'NON_NULL'));
    const change = this.#changeOf(type);
    const inputOf = (argument: string) => args.find((arg) => arg.name === argument)?.type;
    return {
      type,
      name,
      one: this.#oneOf(type, change?.row),
      columns: fields.filter((field) => this.#isLeaf(field.type)).map((field) => this.#column(field)),
      references: fields
        .filter((field) => isOne(field.type) && known.has(namedIn(field.type).name!))
        .map((field) => ({ name: field.name, type: namedIn(field.type).name! })),
      filter: this.#filter(inputOf('filter')),
      order: this.#order(inputOf('orderBy')),
      create: this.#mutation(type, 'create'),
      update: this.#mutation(type, 'update'),
      delete: this.#mutation(type, 'delete'),
      change,
    };
  }

  #isLeaf(type: TypeRef): boolean {
    return ['SCALAR', 'ENUM'].includes(namedIn(type).kind);
  }

  #column({ name, type }: { name: string; type: TypeRef }): Column {
    const of = namedIn(type).name!;
    return {
      name,
      type: written(type),
      of,
      isList: nullable(type).kind === 'LIST',
      isRequired: type.kind === 'NON_NULL',
      values: this.#types.get(of)?.enumValues?.map((value) => value.name),
    };
  }

  #inputs(type: string): Input[] {
    const isRequired = (value: InputValue) => value.type.kind === 'NON_NULL' && value.defaultValue === null;
    const inputs = this.#types.get(type)?.inputFields ?? [];
    return inputs
      .filter((value) => this.#isLeaf(value.type))
      .map((value) => ({
        ...this.#column(value),
        isRequired: isRequired(value),
        description: value.description,
      }));
  }

  #filter(type: TypeRef | undefined): Table['filter'] {
    if (!type) return undefined;
    const inputs = this.#inputs(namedIn(type).name!);
    return inputs.length === 0 ? undefined : { type: written(type), inputs };
  }

  /** An order is a field, of those that the enum has, and a direction. */
  #order(type: TypeRef | undefined): Table['order'] {
    const inputs = type ? this.#inputs(namedIn(type).name!) : [];
    const fields = inputs.find(({ name }) => name === 'field')?.values;
    return type && fields && { type: written(type), fields };
  }

  #oneOf(type: string, row: string | undefined): string | undefined {
    const fitting = this.#queries.filter((query) => {
      const [id, ...others] = query.args;
      return isOne(query.type) && namedIn(query.type).name === type && id?.name === ID && others.length === 0;
    });
    return (fitting.find(({ name }) => name === row) ?? fitting[0])?.name;
  }

  #changeOf(type: string): Table['change'] {
    for (const { name, fields } of this.#changes) {
      const rows = fields?.filter((field) => namedIn(field.type).name === type) ?? [];
      const row = rows.find((field) => field.name !== 'before');
      if (row && rows.length === 2) return { type: name, row: row.name };
    }
    return undefined;
  }

  /** It answers with the row and a bookmark; an update takes the id and an input, a delete the id alone. */
  #mutation(type: string, verb: 'create' | 'update' | 'delete'): Mutation | undefined {
    const field = this.#mutations.find(({ name }) => name === verb + type);
    const answer = field ? this.#fieldsOf(namedIn(field.type).name!) : [];
    const row = answer.find((one) => namedIn(one.type).name === type)?.name;
    if (!field || row === undefined || !answer.some(({ name }) => name === 'bookmark')) return undefined;
    const input = field.args.find(({ name }) => name === 'input')?.type;
    if (field.args.some(({ name }) => name === ID) !== (verb !== 'create')) return undefined;
    const inputs = input ? this.#inputs(namedIn(input).name!) : [];
    return { name: field.name, row, inputType: input && written(input), inputs };
  }
}
