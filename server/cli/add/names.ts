import { pluralize, singularize } from 'inflection';

/** The words of a name in SQL, whatever stands between them. */
const wordsOf = (name: string) =>
  name
    .normalize('NFKD')
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .split(/[^A-Za-z0-9]+/)
    .filter((word) => word !== '');

const wordsIn = (list: string) => list.split(' ');

const capital = (word: string) => word.charAt(0).toUpperCase() + word.slice(1);

/** `order_items` as `OrderItems`; GraphQL takes names that begin with a letter. */
export function pascal(name: string): string {
  const joined = wordsOf(name)
    .map((word) => capital(/[a-z]/.test(word) ? word : word.toLowerCase()))
    .join('');
  return /^[A-Za-z]/.test(joined) ? joined : `N${joined}`;
}

export function camel(name: string): string {
  const joined = pascal(name);
  const known = joined.charAt(0).toLowerCase() + joined.slice(1);
  return name.startsWith('_') ? `_${known}` : known;
}

export const kebab = (name: string) =>
  wordsOf(name)
    .map((word) => word.toLowerCase())
    .join('-');

/** What one row is called and what several are, in camelCase. */
export interface Names {
  one: string;
  many: string;
  type: string;
}

export function namesOf(name: string, one = singular(name)): Names {
  const several = camel(name);
  const many = several === one ? pluralize(one) : several;
  return { one, many: many === one ? `${one}List` : many, type: pascal(one) };
}

/** Only the last word is bent: `sales_order` of `sales_orders`. */
function singular(name: string): string {
  const words = wordsOf(name);
  const last = words.pop() ?? name;
  return camel([...words, singularize(last)].join('_'));
}

/** What a file of a declaration has besides its class. */
const IN_FILES = wordsIn(
  'Table Key Column Generated BelongsTo ID Int BigInt Bytes DateTime Day Decimal Double Interval Json ' +
    'LocalDateTime Time TimeTz Uuid Number String Boolean Object Array Symbol Function Promise Error Date ' +
    'Map Set',
);
/** Fields that stand beside a row's own in payloads, changes and snapshots. */
const BESIDE_ROWS = wordsIn(
  'bookmark confirmation cursor operation table key changedFields committedAt appliedAt lagMs before id',
);

/** The names that are given already, so that none is given twice. */
export class Taken {
  readonly #types: Set<string>;
  readonly #fields: Set<string>;

  /** Types of the schema, and fields of its operations. */
  constructor(types: Iterable<string>, fields: Iterable<string>) {
    this.#types = new Set([...IN_FILES, ...types]);
    this.#fields = new Set(fields);
  }

  isFree(names: Names): boolean {
    return (
      !BESIDE_ROWS.includes(names.one) &&
      typesOf(names).every((name) => !this.#types.has(name)) &&
      fieldsOf(names).every((name) => !this.#fields.has(name))
    );
  }

  take(names: Names): Names {
    for (const name of typesOf(names)) this.#types.add(name);
    for (const name of fieldsOf(names)) this.#fields.add(name);
    return names;
  }

  takeType(name: string): string {
    let free = name;
    for (let number = 2; this.#types.has(free); number++) free = `${name}${number}`;
    this.#types.add(free);
    return free;
  }
}

const fieldsOf = ({ one, many, type }: Names) => [
  one,
  many,
  `${one}Changed`,
  ...['create', 'update', 'delete'].map((verb) => verb + type),
];

const typesOf = ({ type }: Names) => [
  type,
  ...['Connection', 'Edge', 'Payload', 'Change', 'Order', 'OrderField', 'Filter'].map((end) => type + end),
  `Create${type}Input`,
  `Update${type}Input`,
];
