import fc from 'fast-check';

/** A rule as a declaration has it. */
export type DrawnRule = { [part: string]: unknown };

/** The columns that rules are about, by their fields, with constants that rows may have. */
export const COLUMNS = {
  owner: { name: 'owner', sql: 'uuid', type: 'Uuid' },
  state: { name: 'state', sql: 'text', type: 'String', values: ['open', 'shut', "it's", ''] },
  level: { name: 'level', sql: 'integer', type: 'Int', values: [1, 2, -3] },
  isOpen: { name: 'isOpen', sql: 'boolean', type: 'Boolean', values: [true, false] },
  size: { name: 'a "size"', sql: 'bigint', type: 'BigInt', values: ['9007199254740992', '9007199254740993', '-7'] },
  dueAt: {
    name: 'due_at',
    sql: 'timestamptz',
    type: 'DateTime',
    values: ['2026-01-31T12:00:00Z', '2026-01-31T12:00:00.5Z', 'infinity'],
  },
  mood: { name: 'mood', sql: '"mood (2)"', type: 'Mood', values: ['sad', 'so-so'] },
} as const;

export type Field = keyof typeof COLUMNS;
export const FIELDS = Object.keys(COLUMNS) as Field[];

const valuesOf = (field: Field): readonly unknown[] => (field === 'owner' ? [] : COLUMNS[field].values);

const condition = fc.constantFrom(...FIELDS).chain((field): fc.Arbitrary<DrawnRule> => {
  const isNull = fc.boolean().map((value) => ({ [field]: { isNull: value } }));
  if (field === 'owner') return fc.oneof(isNull, fc.constant({ owner: { eq: { claim: 'sub' } } }));
  const value = fc.constantFrom(...valuesOf(field));
  const own = fc.oneof(
    value.map((one) => ({ [field]: { eq: one } })),
    fc.uniqueArray(value, { maxLength: 3 }).map((some) => ({ [field]: { in: some } })),
    isNull,
  );
  return field === 'state' ? fc.oneof(own, fc.constant({ state: { in: { claim: 'roles' } } })) : own;
});

const { rule } = fc.letrec<{ rule: DrawnRule }>((tie) => ({
  rule: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    condition,
    fc.array(tie('rule'), { minLength: 1, maxLength: 3 }).map((and) => ({ and })),
    fc.array(tie('rule'), { maxLength: 3 }).map((or) => ({ or })),
    tie('rule').map((not) => ({ not })),
    fc.tuple(condition, condition).map(([one, other]) => ({ ...one, ...other })),
  ),
}));

export const drawRules = (seed: number, count: number): DrawnRule[] => fc.sample(rule, { seed, numRuns: count });

/** What a row has, by columns in SQL. */
export function drawRows(seed: number, count: number, owners: readonly string[]): Record<string, unknown>[] {
  const values = Object.fromEntries(
    FIELDS.map((field) => {
      const some = field === 'owner' ? owners : valuesOf(field);
      return [COLUMNS[field].name, fc.option(fc.constantFrom(...some), { freq: 4 })];
    }),
  );
  return fc.sample(fc.record(values), { seed, numRuns: count });
}

const text = (value: unknown) => `'${String(value).replaceAll("'", "''")}'`;

/** The rule as SQL for one viewer without roles, by another way than the server's own. */
export function sqlOf(drawn: DrawnRule, sub: string): string {
  const parts = Object.entries(drawn).map(([part, value]) => partOf(part, value, sub));
  return parts.length === 0 ? 'true' : `(${parts.join(' and ')})`;
}

function partOf(part: string, value: unknown, sub: string): string {
  const all = (rules: unknown, word: string, none: string) => {
    const each = (rules as DrawnRule[]).map((one) => sqlOf(one, sub));
    return each.length === 0 ? none : `(${each.join(` ${word} `)})`;
  };
  if (part === 'and') return all(value, 'and', 'true');
  if (part === 'or') return all(value, 'or', 'false');
  if (part === 'not') return `(not ${sqlOf(value as DrawnRule, sub)})`;
  const column = COLUMNS[part as Field];
  const name = `"${column.name.replaceAll('"', '""')}"`;
  const { eq, in: among, isNull } = value as { eq?: unknown; in?: unknown; isNull?: boolean };
  if (isNull !== undefined) return `(${name} is ${isNull ? '' : 'not '}null)`;
  const constant = (one: unknown) => `${text(typeof one === 'object' ? sub : one)}::${column.sql}`;
  if (!Array.isArray(among)) return among === undefined ? `(${name} = ${constant(eq)})` : 'false';
  return among.length === 0 ? 'false' : `(${name} in (${among.map(constant).join(', ')}))`;
}
