import fc from 'fast-check';

/** A type of PostgreSQL, with texts that it takes. */
export interface RandomType {
  sql: string;
  texts: fc.Arbitrary<string>;
  /** Of which kind a key can be; '' of none. */
  isKey: boolean;
  /** It takes no null, whatever the column says. */
  isStrict?: true;
  /** An integer, which the primary can count. */
  isCounted?: true;
}

/** What the types are made of. */
export const TYPES_SQL = `
  create schema sales; create schema "Odd ""Schema"""; create schema "2nd";
  create extension citext; create extension hstore schema "Odd ""Schema""";
  create type mood as enum ('sad', 'PG-13', 'pg_13', 'channels.delete', 'true', '', 'it''s', '"q"', 'a,b', '{}', 'NULL', '\\', 'ü', '😀');
  create type "Odd ""Schema"""."Mood" as enum ('so so', 'well', 'So So');
  create domain positive as int check (value > 0);
  create domain "2nd"."Strict Text" as varchar(10) not null;
  create domain sales.of_domain as positive;
  create domain sales.moods as mood[];
  create type sales.point3 as (x int, y numeric, label text);
  create type "Odd ""Schema"""."Pair ""2""" as ("a b" text, at timestamptz);
`;

const known = (...texts: string[]) => fc.constantFrom(...texts);
const either = (...arbitraries: fc.Arbitrary<string>[]) => fc.oneof(...arbitraries);

const isStorable = (text: string) => !text.includes('\0') && text.isWellFormed();
const characters = (most: number) =>
  either(
    fc.string({ unit: 'grapheme', maxLength: most }),
    fc.string({ unit: 'binary', maxLength: most }).filter(isStorable),
    known(
      '',
      ' ',
      'a',
      'A',
      "it's",
      '"',
      '\\',
      '\\x00',
      '["1","2"]',
      '{}',
      'null',
      'NULL',
      '/',
      '%2F',
      '..',
      '?a=b',
      '\n',
      '\u2028',
    ),
  ).map((text) => [...text].slice(0, most).join(''));
const TEXT = characters(30);

const whole = (least: bigint, most: bigint) => fc.bigInt({ min: least, max: most }).map(String);
const digits = (most: number) => fc.stringMatching(new RegExp(`^[0-9]{1,${most}}$`));
const sign = known('', '-');
const decimal = (before: number, after: number) =>
  fc.tuple(sign, digits(before), digits(after)).map(([minus, one, two]) => `${minus}${one}.${two}`);
// JSON has no form for the sign of zero in what PostgreSQL makes of it.
const float = (single: boolean) =>
  either(
    (single ? fc.float() : fc.double()).map((value) => String(value + 0)),
    known('NaN', 'Infinity', '-Infinity', '0', '1e-7', '123456789'),
  ).filter((text) => !text.startsWith('-0') || Number(text) !== 0);

const two = (value: number) => String(value).padStart(2, '0');
const day = fc
  .date({ min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T00:00:00Z'), noInvalidDate: true })
  .map((date) => date.toISOString().slice(0, 10));
const clock = fc
  .tuple(fc.nat(23), fc.nat(59), fc.nat(59), fc.nat(999_999))
  .map(
    ([hours, minutes, seconds, micros]) =>
      `${two(hours)}:${two(minutes)}:${two(seconds)}.${String(micros).padStart(6, '0')}`,
  );
const moment = (zone: string) =>
  either(
    fc.tuple(day, clock).map(([date, time]) => `${date} ${time}${zone}`),
    known(
      'infinity',
      '-infinity',
      `0044-03-15 12:00:00${zone} BC`,
      `4713-12-31 00:00:00${zone} BC`,
      `294276-12-31 23:59:59.999999${zone}`,
      `10000-01-01 00:00:00${zone}`,
      `1969-12-31 23:59:59.999999${zone}`,
      `1883-11-18 12:00:00${zone}`,
    ),
  );
const small = fc.integer({ min: -2000, max: 2000 });
const interval = either(
  fc
    .tuple(small, small, small, sign, clock)
    .map(([years, months, days, minus, time]) => `${years} years ${months} mons ${days} days ${minus}${time}`),
  known('0', '1 day', '-1 days +00:00:00.000001', '100000 hours', '1 mon -1 day', '-178000000 years', '00:00:59.9'),
);
const offset = known('+00', '+02', '-08:30', '+15:59:59', '-00:00:01');

// JSON's null clients cannot tell from that of SQL.
const json = fc
  .json({ stringUnit: 'grapheme', maxDepth: 3 })
  .filter((text) => !/^null$/i.test(text) && isStorable(text));
const jsons = either(
  json,
  known(
    '""',
    '[]',
    '{}',
    '"a"',
    '9007199254740993',
    '1e400',
    '[1.10, -0.5, {"b": 1, "a": 2}]',
    '{"__proto__": {"a": 1}}',
    '"\\u00e9"',
  ),
);
// jsonb has no text for U+0000, and none for halves of characters.
const jsonbs = jsons.filter((text) => !/\\u0000|\\ud[89a-f]/i.test(text));
const looseJsons = either(jsons, known('"\\u0000"', '{"\\ud800":1e999999}', '[-0, 1E5]', ' {"a" : 1, "a": 2} '));
const hex = (least: number, most: number) =>
  fc.uint8Array({ minLength: least, maxLength: most }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`);
const bits = (least: number, most: number) => fc.stringMatching(new RegExp(`^[01]{${least},${most}}$`));
const quotedText = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`;
const composite = (...parts: fc.Arbitrary<string | null>[]) =>
  fc.tuple(...parts).map((values) => `(${values.map((value) => (value === null ? '' : quotedText(value))).join(',')})`);
const orNull = (texts: fc.Arbitrary<string>) => fc.option(texts, { freq: 4 });

const of = (sql: string, texts: fc.Arbitrary<string>, more: Partial<RandomType> = {}): RandomType => ({
  sql,
  texts,
  isKey: true,
  ...more,
});
const NO_KEY = { isKey: false };
const LABELS = [
  'sad',
  'PG-13',
  'pg_13',
  'channels.delete',
  'true',
  '',
  "it's",
  '"q"',
  'a,b',
  '{}',
  'NULL',
  '\\',
  'ü',
  '😀',
];
const mood = of('mood', known(...LABELS));
const positive = of('positive', whole(1n, 2n ** 31n - 1n));
const point3 = of('sales.point3', composite(orNull(whole(-9n, 9n)), orNull(decimal(3, 3)), orNull(characters(5))));

const NUMBERS: RandomType[] = [
  of('smallint', whole(-(2n ** 15n), 2n ** 15n - 1n), { isCounted: true }),
  of('integer', whole(-(2n ** 31n), 2n ** 31n - 1n), { isCounted: true }),
  of('bigint', whole(-(2n ** 63n), 2n ** 63n - 1n), { isCounted: true }),
  of(
    'numeric',
    either(decimal(40, 40), known('NaN', 'Infinity', '-Infinity', '0', '0.0', '-0.00', '1e100', '1e-100', '1.50')),
  ),
  of('numeric(12,2)', decimal(9, 4)),
  of('numeric(5,-2)', digits(6)),
  of('numeric(3,5)', known('0.00123', '-0.001', '0')),
  of('real', float(true)),
  of('double precision', float(false)),
  of('money', decimal(9, 2)),
  of('oid', whole(0n, 2n ** 32n - 1n)),
];

const TEXTS: RandomType[] = [
  of('text', TEXT),
  of('text', either(TEXT, known('x'.repeat(100_000), '😀'.repeat(3000))), NO_KEY),
  of('varchar', TEXT),
  of('varchar(5)', characters(5)),
  of('char(8)', characters(8)),
  of('char', characters(1)),
  of('citext', TEXT),
  of('name', TEXT),
  of('"char"', known('a', '', '~', '\\')),
  of('xml', known('<a>1</a>', 'text', '', '<a b="c"/>'), NO_KEY),
  of('uuid', fc.uuid()),
  of('boolean', known('true', 'false')),
  mood,
  of('"Odd ""Schema"""."Mood"', known('so so', 'well', 'So So')),
  of('bytea', hex(0, 20)),
];

const TIMES: RandomType[] = [
  of('timestamptz', moment('+00')),
  of(
    'timestamptz(0)',
    moment('+00').filter((text) => !text.startsWith('294276')),
  ),
  of(
    'timestamptz(3)',
    moment('+00').filter((text) => !text.startsWith('294276')),
  ),
  of('timestamp', moment('')),
  of(
    'timestamp(1)',
    moment('').filter((text) => !text.startsWith('294276')),
  ),
  of('date', either(day, known('infinity', '-infinity', '0044-03-15 BC', '10000-01-01', '5874897-12-31'))),
  of('time', either(clock, known('24:00:00', '00:00:00'))),
  of('time(0)', clock),
  of(
    'timetz',
    fc.tuple(clock, offset).map(([time, zone]) => time + zone),
  ),
  of('interval', interval),
  of('interval(2)', interval),
  of('interval year to month', interval),
  of('interval day to second', interval),
];

const OTHERS: RandomType[] = [
  of('json', looseJsons, NO_KEY),
  of('jsonb', jsonbs),
  of('inet', known('1.2.3.4', '1.2.3.4/24', '::1', 'fe80::1/64', '0.0.0.0/0')),
  of('cidr', known('10.0.0.0/8', '::/0', '1.2.3.4/32')),
  of('macaddr', known('08:00:2b:01:02:03', 'ff:ff:ff:ff:ff:ff')),
  of('macaddr8', known('08:00:2b:01:02:03:04:05')),
  of('int4range', known('[1,5)', '(,)', 'empty', '[,3]')),
  of('numrange', known('[1.5,2.50]', '(NaN,)', 'empty')),
  of('tstzrange', known('[2026-01-01 00:00:00+00,2026-02-01 00:00:00+00)', '[-infinity,infinity]', 'empty')),
  of('daterange', known('[2026-01-01,2026-02-01)', '(,)')),
  of('int4multirange', known('{}', '{[1,3),[5,7)}')),
  of('bit(4)', bits(4, 4)),
  of('varbit', bits(0, 9)),
  of('tsvector', known("'cat':1 'fat':2A", '', "'it''s'")),
  of('tsquery', known("'fat' & ( 'rat' | 'cat' )", '')),
  of('pg_lsn', known('16/B374D848', '0/0')),
  of('xid8', whole(0n, 2n ** 64n - 1n)),
  of('tid', known('(0,1)', '(42,7)')),
  of('regclass', known('pg_class', 'pg_type')),
  of('jsonpath', known('$."a"[*]?(@ > 1)', '$'), NO_KEY),
  of('point', known('(1.5,-2)', '(Infinity,NaN)', '(0,0)'), NO_KEY),
  of('line', known('{1,-1,0}'), NO_KEY),
  of('lseg', known('[(0,0),(1,1.5)]'), NO_KEY),
  of('box', known('(1,1),(0,0)'), NO_KEY),
  of('path', known('[(0,0),(1,1)]', '((0,0),(1,1))'), NO_KEY),
  of('polygon', known('((0,0),(1,1),(1,0))'), NO_KEY),
  of('circle', known('<(1,2),3.5>'), NO_KEY),
  of('"Odd ""Schema""".hstore', known('', '"a"=>"1"', '"a b"=>NULL, "\\""=>"\\\\"'), NO_KEY),
  positive,
  of('"2nd"."Strict Text"', characters(10), { isStrict: true }),
  of('sales.of_domain', positive.texts),
  point3,
  of('"Odd ""Schema"""."Pair ""2"""', composite(orNull(TEXT), orNull(moment('+00')))),
];

const listText = (items: readonly (string | null)[]) =>
  `{${items.map((item) => (item === null ? 'NULL' : quotedText(item))).join(',')}}`;

function listOf({ sql, texts, isKey, isStrict }: RandomType, depth: number): RandomType {
  const item = isStrict ? texts : orNull(texts);
  const flat = (length?: number) =>
    fc.array(item, length === undefined ? { maxLength: 4 } : { minLength: length, maxLength: length });
  const lists =
    depth === 1
      ? flat().map(listText)
      : fc.oneof(
          fc.constant('{}'),
          fc
            .integer({ min: 1, max: 3 })
            .chain((length) => fc.array(flat(length), { minLength: 1, maxLength: 3 }))
            .map((rows) => `{${rows.map(listText).join(',')}}`),
        );
  // Lists of composite values stay on the primary, and so cannot be a key.
  return of(`${sql}${'[]'.repeat(depth)}`, lists, { isKey: isKey && !/point3|Pair/.test(sql) });
}

const SIMPLE = [...NUMBERS, ...TEXTS, ...TIMES, ...OTHERS];
/** A list of one character's lists would be text. */
const LISTS = [
  ...SIMPLE.filter(({ sql }) => sql !== '"char"').map((type) => listOf(type, 1)),
  ...[NUMBERS[1]!, TEXTS[0]!, mood].map((type) => listOf(type, 2)),
  of('sales.moods', listOf(mood, 1).texts),
];

const keyed = (types: readonly RandomType[]) => types.filter(({ isKey }) => isKey);
/** Mostly what tables mostly have. */
const weighted = (keep: (types: readonly RandomType[]) => readonly RandomType[]): fc.Arbitrary<RandomType> =>
  fc.oneof(
    ...(
      [
        [3, NUMBERS],
        [4, TEXTS],
        [3, TIMES],
        [4, OTHERS],
        [2, LISTS],
      ] as const
    ).map(([weight, types]) => ({ weight, arbitrary: fc.constantFrom(...keep(types)) })),
  );

export const anyType = weighted((types) => types);
export const keyType = weighted(keyed);
