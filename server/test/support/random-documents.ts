import {
  getNamedType,
  getNullableType,
  isCompositeType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isListType,
  isNonNullType,
  isObjectType,
  parse,
  validate,
  type GraphQLArgument,
  type GraphQLCompositeType,
  type GraphQLInputType,
  type GraphQLObjectType,
  type GraphQLSchema,
} from 'graphql';

/** The same numbers for the same seed, from 0 up to 1. */
export function numbersOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const USUAL = ['a', 'b', 'ab', 'id', 'nodes', 'x1'];
const ODD = ['a', 'b', 'a_b', 'a_b_a', 'nodes', '__proto__', 'constructor', 'hasOwnProperty', 'toString'];

interface Made {
  query: string;
  variables: Record<string, unknown>;
}

interface Fragment {
  name: string;
  on: string;
  text: string;
}

interface Options {
  schema: GraphQLSchema;
  root: GraphQLObjectType;
  /** Fields that are selected on the root; elsewhere all of them. */
  fields: readonly string[];
  /** Texts for arguments of the type ID. */
  ids: readonly string[];
}

/** Valid documents with aliases, fragments, variables and what fails; every other has conditions and odd names, too. */
export class RandomDocuments {
  readonly #options: Options;
  readonly #random: () => number;
  #variables = new Map<string, { type: string; value: unknown; preset?: string }>();
  #fragments: Fragment[] = [];
  #isOdd = false;

  constructor(options: Options, random: () => number) {
    this.#options = options;
    this.#random = random;
  }

  next(): Made {
    for (;;) {
      const made = this.#make();
      if (validate(this.#options.schema, parse(made.query)).length === 0) return made;
    }
  }

  #make(): Made {
    this.#variables = new Map();
    this.#fragments = [];
    this.#isOdd = this.#chance(0.5);
    const { root, fields } = this.#options;
    for (let count = this.#upTo(4); count > 0; count--) this.#makeFragment();
    const chosen = Array.from({ length: 1 + this.#upTo(2) }, () => this.#field(root, this.#of(fields), 4)).join(' ');
    const used = this.#usedBy(chosen);
    const declared = [...this.#variables].filter(([name]) =>
      new RegExp(`\\$${name}\\b`).test(chosen + used.map(({ text }) => text).join(' ')),
    );
    const list = declared.map(([name, { type, preset }]) => `$${name}: ${type}${preset ? ` = ${preset}` : ''}`);
    const head = list.length > 0 ? `query (${list.join(', ')})` : 'query';
    const query = `${head} { ${chosen} } ${used.map(({ text }) => text).join(' ')}`;
    const variables = Object.fromEntries(
      declared.filter(([, { value }]) => value !== undefined).map(([name, { value }]) => [name, value]),
    );
    return { query, variables };
  }

  /** Fragments know those made before them, so that they nest. */
  #makeFragment(): void {
    const on = this.#of(['User', 'Post', 'UserConnection', 'PostConnection']);
    const name = this.#of(['F', 'constructor', 'G', 'toString', 'H', '__proto__', 'I']) + this.#fragments.length;
    const type = this.#options.schema.getType(on) as GraphQLCompositeType;
    this.#fragments.push({ name, on, text: `fragment ${name} on ${on} ${this.#set(type, 3)}` });
  }

  #usedBy(text: string): Fragment[] {
    const used = new Set<Fragment>();
    const look = (within: string): void => {
      for (const fragment of this.#fragments)
        if (!used.has(fragment) && new RegExp(`\\.\\.\\.${fragment.name}\\b`).test(within)) {
          used.add(fragment);
          look(fragment.text);
        }
    };
    look(text);
    return [...used];
  }

  #set(type: GraphQLCompositeType, depth: number): string {
    const selections = Array.from({ length: 1 + this.#upTo(3) }, () => this.#selection(type, depth));
    return `{ ${selections.join(' ')} }`;
  }

  #selection(type: GraphQLCompositeType, depth: number): string {
    const spread = this.#fragments.filter(({ on }) => on === type.name);
    if (spread.length > 0 && this.#chance(0.35)) return `...${this.#of(spread).name} ${this.#conditions()}`;
    if (depth > 0 && this.#chance(0.15)) {
      const condition = this.#chance(0.5) ? `on ${type.name}` : '';
      return `... ${condition} ${this.#conditions()} ${this.#set(type, depth - 1)}`;
    }
    if (this.#chance(0.1) || !(isObjectType(type) || isInterfaceType(type))) return `__typename ${this.#conditions()}`;
    const fields = Object.values(type.getFields());
    const possible = depth > 0 ? fields : fields.filter((field) => !isCompositeType(getNamedType(field.type)));
    return possible.length > 0 ? this.#field(type, this.#of(possible).name, depth) : '__typename';
  }

  #field(type: GraphQLCompositeType, name: string, depth: number): string {
    const field = (type as GraphQLObjectType).getFields()[name]!;
    const alias = this.#chance(0.25) ? `${this.#of(this.#isOdd ? ODD : USUAL)}: ` : '';
    const given = field.args.flatMap((arg) => this.#argument(arg));
    const args = given.length > 0 ? `(${given.join(' ')})` : '';
    const inner = getNamedType(field.type);
    return `${alias}${name}${args} ${this.#conditions()} ${isCompositeType(inner) ? this.#set(inner, depth - 1) : ''}`;
  }

  #conditions(): string {
    if (!this.#isOdd || this.#chance(0.75)) return '';
    const name = this.#of(['skip', 'include']);
    return `@${name}(if: ${this.#chance(0.3) ? this.#of(['true', 'false']) : this.#flag()})`;
  }

  #flag(): string {
    const name = this.#of(['yes', 'no', 'constructor', 'left']);
    if (!this.#variables.has(name))
      this.#variables.set(
        name,
        name === 'left'
          ? { type: 'Boolean', value: this.#of([undefined, true, null]), preset: this.#of(['true', 'false']) }
          : { type: 'Boolean!', value: name === 'yes' || (name === 'constructor' && this.#chance(0.5)) },
      );
    return `$${name}`;
  }

  #argument({ name, type }: GraphQLArgument): string[] {
    if (!isNonNullType(type) && this.#chance(0.8)) return [];
    if (this.#chance(this.#isOdd ? 0.5 : 0.1)) return [`${name}: ${this.#literal(type)}`];
    const variable = this.#of(this.#isOdd ? ['v', 'toString', 'w', 'x_y'] : ['v', 'w']) + this.#variables.size;
    const named = getNullableType(type).toString();
    const isDefault = this.#chance(0.3);
    const value = isDefault && this.#chance(0.5) ? this.#of([undefined, null]) : this.#value(type);
    this.#variables.set(variable, {
      type: isNonNullType(type) && !isDefault ? `${named}!` : named,
      value,
      ...(isDefault && { preset: this.#literal(type) }),
    });
    return [`${name}: $${variable}`];
  }

  #literal(type: GraphQLInputType): string {
    const value = this.#value(type);
    const write = (one: unknown, of: GraphQLInputType): string => {
      const inner = getNullableType(of);
      if (one === null) return 'null';
      if (isEnumType(inner)) return one as string;
      if (isListType(inner)) return `[${(one as unknown[]).map((item) => write(item, inner.ofType)).join(' ')}]`;
      if (!isInputObjectType(inner)) return JSON.stringify(one);
      const fields = Object.entries(one as object).map(
        ([name, held]) => `${name}: ${write(held, inner.getFields()[name]!.type)}`,
      );
      return `{ ${fields.join(' ')} }`;
    };
    return write(value, type);
  }

  #value(type: GraphQLInputType): unknown {
    const inner = getNullableType(type);
    if (!isNonNullType(type) && this.#chance(0.1)) return null;
    if (isEnumType(inner)) return this.#of(inner.getValues()).name;
    if (isListType(inner)) return Array.from({ length: this.#upTo(2) }, () => this.#value(inner.ofType));
    if (isInputObjectType(inner)) {
      const fields = Object.values(inner.getFields()).filter((field) => isNonNullType(field.type) || this.#chance(0.5));
      return Object.fromEntries(fields.map((field) => [field.name, this.#value(field.type)]));
    }
    if (inner.name === 'Int') return this.#of([0, 1, 2, 3, 100, 101, -1]);
    if (inner.name === 'Boolean') return this.#chance(0.5);
    if (inner.name === 'ID') return this.#of([...this.#options.ids, 'nonsense']);
    return this.#of(['a', 'P', '', 'nonsense']);
  }

  #chance(part: number): boolean {
    return this.#random() < part;
  }

  #upTo(most: number): number {
    return Math.floor(this.#random() * (most + 1));
  }

  #of<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.#random() * choices.length)]!;
  }
}
