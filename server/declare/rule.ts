/** What a viewer's token says of them. */
export interface Claims {
  /** Who they are; null: nobody is signed in. */
  sub: string | null;
  roles: readonly string[];
}

type Constant = string | number | boolean;

/** A viewer's claim, in the place of a constant. */
export interface Claim {
  claim: keyof Claims;
}

export const claim = (name: keyof Claims): Claim => ({ claim: name });

/** What a column's value must be. Of several conditions, all. */
export interface Condition {
  eq?: Constant | Claim;
  in?: readonly Constant[] | Claim;
  isNull?: boolean;
}

/** A filter over the columns of one row, as it is true, false or, beside a null, unknown: what is unknown is not met. */
export type Rule = {
  and?: readonly Rule[];
  or?: readonly Rule[];
  not?: Rule;
} & Columns;

/** By the names of fields. */
type Columns = { [field: string]: Condition | readonly Rule[] | Rule | undefined };

/** A rule as it is read: each part in a form of its own. */
export type Clause =
  | { kind: 'and'; of: readonly Clause[] }
  | { kind: 'or'; of: readonly Clause[] }
  | { kind: 'not'; of: Clause }
  | { kind: 'isNull'; field: string; value: boolean }
  | { kind: 'eq'; field: string; value: Constant | Claim }
  | { kind: 'in'; field: string; value: readonly Constant[] | Claim };

export const isAlways = (clause: Clause): boolean => clause.kind === 'and' && clause.of.every(isAlways);

export const isClaim = (value: unknown): value is Claim =>
  typeof value === 'object' && value !== null && 'claim' in value;

type Row = Readonly<Record<string, unknown>>;

/** What `meets` says is what PostgreSQL says of the same rule. */
export const meets = (clause: Clause, row: Row, claims: Claims): boolean => truth(clause, row, claims) === true;

/** Null: unknown. */
export function truth(clause: Clause, row: Row, claims: Claims): boolean | null {
  switch (clause.kind) {
    case 'and':
      return all(clause.of.map((one) => truth(one, row, claims)));
    case 'or':
      return negated(all(clause.of.map((one) => negated(truth(one, row, claims)))));
    case 'not':
      return negated(truth(clause.of, row, claims));
    case 'isNull':
      return ((row[clause.field] ?? null) === null) === clause.value;
    case 'eq':
      return isEqual(row[clause.field] ?? null, isClaim(clause.value) ? claims[clause.value.claim] : clause.value);
    case 'in':
      return isAmong(row[clause.field] ?? null, isClaim(clause.value) ? claims[clause.value.claim] : clause.value);
  }
}

const negated = (value: boolean | null) => (value === null ? null : !value);

function all(values: readonly (boolean | null)[]): boolean | null {
  if (values.includes(false)) return false;
  return values.includes(null) ? null : true;
}

/** A claim is text, as ids are: a key that is a number is compared as its text, and so is what clients give for one. */
function isEqual(value: unknown, other: unknown): boolean | null {
  if (value === null || other === null) return null;
  return value === other || isTextOf(other, value) || isTextOf(value, other);
}

const isTextOf = (text: unknown, value: unknown) =>
  typeof value === 'number' && typeof text === 'string' && String(value) === text;

function isAmong(value: unknown, others: unknown): boolean | null {
  const list = Array.isArray(others) ? (others as unknown[]) : [others];
  if (list.length === 0) return false;
  return negated(all(list.map((other) => negated(isEqual(value, other)))));
}

type Leaf = Extract<Clause, { field: string }>;

export function leavesOf(clause: Clause): Leaf[] {
  if ('field' in clause) return [clause];
  return clause.kind === 'not' ? leavesOf(clause.of) : clause.of.flatMap(leavesOf);
}

/** The fields that are compared with who the viewer is: a row that names somebody else there is the same to all others. */
export const ownersIn = (clause: Clause): string[] =>
  leavesOf(clause).flatMap((leaf) =>
    leaf.kind !== 'isNull' && isClaim(leaf.value) && leaf.value.claim === 'sub' ? [leaf.field] : [],
  );

export const fieldsIn = (clause: Clause): string[] => leavesOf(clause).map(({ field }) => field);
