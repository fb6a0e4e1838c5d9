import { Float, ID, Int } from 'type-graphql';
import { expect, test } from 'vitest';
import { SetupError } from '../lib/errors.ts';
import { assertRules, BelongsTo, Column, declarationOf, Key, Table } from './declaration.ts';
import { claim, meets, type Rule } from './rule.ts';
import { readRule } from './read-rule.ts';
import { BigInt, Bytes, DateTime, Decimal, Double, Json, LocalDateTime, Uuid } from './scalars.ts';

const ID_OF_ONE = '3fa85f64-5717-4562-b3fc-2c963f66afa6';

const NOBODY = { sub: null, roles: [] };
const SEAT = { type: () => Int, kind: 'reference' };

/** A table with a column of each type, and the rule. */
function declareWith(rule: unknown, where: 'write' | 'column' = 'write'): void {
  class Item {
    @Key(() => ID) id!: string;
    @BelongsTo(() => Item, { as: 'owner' }) ownerId!: string;
    @BelongsTo(() => Team, { as: 'team' }) teamId!: string;
    @BelongsTo(() => Seat, { as: 'seat' }) seatId!: string;
    @BelongsTo(() => Land, { as: 'land' }) landCode!: string;
    @Column(() => String) big!: string;
    @Column(() => Boolean) isOpen!: boolean;
    @Column(() => Int) level!: number;
    @Column(() => BigInt) count!: string;
    @Column(() => Double) weight!: number;
    @Column(() => DateTime) dueAt!: string;
    @Column(() => String, where === 'column' ? { read: rule as Rule } : {}) secret!: string;
  }
  Table('items', { orderBy: ['dueAt'], rights: where === 'write' ? { write: rule as Rule } : {} })(Item);
  // Declared later, as a file may be that refers to this one.
  class Team {
    @Key(() => BigInt) id!: string;
  }
  Table('teams')(Team);
  class Seat {
    @Key(() => Int) id!: number;
  }
  Table('seats')(Seat);
  class Land {
    @Key(() => String) code!: string;
  }
  Table('lands')(Land);
  assertRules(declarationOf(Item));
}

const WRITE = 'Item (table items), rights.write: expected';

test.for<[unknown, string]>([
  [{ big: { eq: 5 } }, "big.eq to be a text or claim('sub'), got: 5"],
  [{ big: { in: ['5', 6] } }, "big.in to be a list of which each is a text or claim('roles'), got: [ '5', 6 ]"],
  [{ big: { eq: 'a\0b' } }, "big.eq to be a text or claim('sub'), got: 'a\\x00b'"],
  [{ isOpen: { eq: 'true' } }, "isOpen.eq to be true or false, got: 'true'"],
  [{ isOpen: { isNull: 'no' } }, "isOpen.isNull to be true or false, got: 'no'"],
  [{ level: { eq: 1.5 } }, 'level.eq to be a whole number of 32 bits, got: 1.5'],
  [{ level: { eq: 2 ** 31 } }, 'level.eq to be a whole number of 32 bits, got: 2147483648'],
  [{ level: { eq: claim('sub') } }, "level.eq to be a whole number of 32 bits, got: { claim: 'sub' }"],
  [{ count: { eq: '+1' } }, "count.eq to be a whole number as a text, as it is answered, such as 42, got: '+1'"],
  [{ weight: { eq: '1' } }, "weight.eq to be a number, got: '1'"],
  [{ weight: { eq: NaN } }, 'weight.eq to be a number, got: NaN'],
  [
    { dueAt: { eq: 'tomorrow' } },
    "dueAt.eq to be a moment in UTC as it is answered, such as 2026-01-31T12:00:00Z, got: 'tomorrow'",
  ],
  [
    { dueAt: { in: ['2026-01-31T12:00:00.500Z'] } },
    "dueAt.in to be a list of which each is a moment in UTC as it is answered, such as 2026-01-31T12:00:00Z, got: [ '2026-01-31T12:00:00.500Z' ]",
  ],
  [
    { teamId: { eq: claim('sub') } },
    "teamId.eq to be a whole number as a text, as it is answered, such as 42, got: { claim: 'sub' }",
  ],
  [{ not: { seatId: { eq: claim('sub') } } }, "seatId.eq to be a whole number of 32 bits, got: { claim: 'sub' }"],
  [{ landCode: { eq: 5 } }, "landCode.eq to be a text or claim('sub'), got: 5"],
  [{ id: { eq: 'x' } }, "id.eq to be a UUID in lower case or claim('sub'), got: 'x'"],
  [
    { ownerId: { eq: ID_OF_ONE.toUpperCase() } },
    `ownerId.eq to be a UUID in lower case or claim('sub'), got: '${ID_OF_ONE.toUpperCase()}'`,
  ],
  [
    { ownerId: { eq: claim('roles') } },
    "ownerId.eq to be a UUID in lower case or claim('sub'), got: { claim: 'roles' }",
  ],
  [
    { ownerId: { in: claim('sub') } },
    "ownerId.in to be a list of which each is a UUID in lower case, got: { claim: 'sub' }",
  ],
  [{ big: { like: 'a%' } }, "eq, in or isNull for big, got: 'like'"],
  [{ big: { eq: undefined } }, "big.eq to be a text or claim('sub'), got: undefined"],
  [{ big: {} }, 'eq, in or isNull for big, got: {}'],
  [{ big: 'x' }, "an object for big, with eq, in or isNull, got: 'x'"],
  [{ or: { big: { eq: 'x' } } }, "a list of rules for or, got: { big: { eq: 'x' } }"],
  [{ or: undefined }, 'a list of rules for or, got: undefined'],
  [{ not: null }, "an object, as in { authorId: { eq: claim('sub') } }, got: null"],
  [
    { and: [{ not: { colour: { eq: 'red' } } }] },
    "and, or, not or a column of it (id, ownerId, teamId, seatId, landCode, big, isOpen, level, count, weight, dueAt, secret), got: 'colour'",
  ],
])('of a rule %j it says what was expected, and what came', ([rule, message]) => {
  expect(() => declareWith(rule)).toThrow(new SetupError(`${WRITE} ${message}`));
});

test.for<[string, PropertyDecorator]>([
  ['citext', Column(() => String, { sql: 'citext' })],
  ['character', Column(() => String, { sql: 'character(8)' })],
  ['inet', Column(() => String, { sql: 'inet' })],
  ['numeric', Column(() => Decimal)],
  ['timestamp', Column(() => LocalDateTime)],
  ['bytea', Column(() => Bytes)],
  ['jsonb', Column(() => Json)],
  ['text[]', Column(() => [String])],
])('a rule knows values by their texts, and none of which several are equal: %s', ([, decorate]) => {
  const declare = (rule: Rule) => {
    class Item {
      @Key(() => ID) id!: string;
    }
    decorate(Item.prototype, 'value');
    Table('items', { rights: { write: { not: rule } } })(Item);
  };
  for (const operator of ['eq', 'in'])
    expect(() => declare({ value: { [operator]: operator === 'eq' ? 'x' : ['x'] } })).toThrow(
      `${WRITE} isNull alone for value, as several texts of its type stand for one value, got: '${operator}'`,
    );
  expect(() => declare({ value: { isNull: true } })).not.toThrow();
});

test('what a foreign key can be is taken, by the key that it names', () => {
  const rules = [
    { ownerId: { eq: claim('sub') } },
    { teamId: { in: ['42'] } },
    { seatId: { eq: 42 } },
    { landCode: { eq: claim('sub') } },
    { teamId: { isNull: true } },
  ];
  for (const rule of rules) for (const where of ['write', 'column'] as const) declareWith(rule, where);
  // A client's text of such a key is as good as the row's number.
  const seat = readRule({ seatId: { eq: 42 } }, { rule: 'x', columns: [{ ...SEAT, field: 'seatId' }] });
  for (const seatId of [42, '42']) expect(meets(seat, { seatId }, NOBODY)).toBe(true);
  for (const seatId of [4, '4', null]) expect(meets(seat, { seatId }, NOBODY)).toBe(false);
});

test('a column’s own rule is read as well, also where it names a column after it', () => {
  expect(() => declareWith({ level: { eq: 'high' } }, 'column')).toThrow(
    "Item (table items), read of secret: expected level.eq to be a whole number of 32 bits, got: 'high'",
  );
});

test('what each type has is taken', () => {
  const kinds = { ID, Uuid, String, Boolean, Int, BigInt, Float, Double, DateTime };
  const columns = Object.entries(kinds).map(([field, type]) => ({ field, type: () => type, kind: 'value' as const }));
  const values: Record<keyof typeof kinds, (string | number | boolean)[]> = {
    ID: [ID_OF_ONE],
    Uuid: [ID_OF_ONE],
    String: ['', '9007199254740993'],
    Boolean: [true, false],
    Int: [0, -(2 ** 31)],
    BigInt: ['0', '-9223372036854775808'],
    Float: [0.5, -Infinity],
    Double: [1e300, Infinity],
    DateTime: ['2026-01-31T12:00:00.1Z', '2026-01-31T12:00:00Z', 'infinity', '0044-03-15 00:00:00+00 BC'],
  };
  for (const [field, list] of Object.entries(values)) {
    for (const value of list)
      expect(readRule({ [field]: { eq: value } }, { rule: 'x', columns })).toEqual({ kind: 'eq', field, value });
    expect(readRule({ [field]: { in: list } }, { rule: 'x', columns })).toEqual({ kind: 'in', field, value: list });
  }
  expect(readRule({ String: { in: claim('roles') } }, { rule: 'x', columns })).toMatchObject({ kind: 'in' });
});
