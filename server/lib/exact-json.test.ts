import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseExactly } from './exact-json.ts';

const digits = fc.oneof(
  fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }).map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.constantFrom('0', '-0', '-1', '1.50', '0.0', '1e5', '1E-7', '999999999999999', '9007199254740993'),
);
const space = fc.constantFrom('', ' ', '\n\t');
const texts = fc.oneof(fc.string(), fc.constantFrom('a: 1.5, 2.5', '[1.0]', '12:00:01.50', '"'));
const { value: written } = fc.letrec<{ value: string }>((tie) => ({
  value: fc
    .tuple(
      space,
      fc.oneof(
        { depthSize: 'small' },
        digits,
        texts.map((text) => JSON.stringify(text)),
        fc.constantFrom('null', 'true'),
        fc.array(tie('value'), { maxLength: 4 }).map((items) => `[${items.join(',')}]`),
        fc
          .array(fc.tuple(texts, space, tie('value')), { maxLength: 4 })
          .map(
            (members) =>
              `{${members.map(([name, gap, value], place) => `${JSON.stringify(`_${name}${place}`)}${gap}:${value}`).join(',')}}`,
          ),
      ),
      space,
    )
    .map((parts) => parts.join('')),
}));

/** The text without spaces between its tokens. */
const tight = (text: string) => text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');

test('numbers keep the digits that they have, wherever they stand', () => {
  fc.assert(
    fc.property(written, (text) => {
      expect(JSON.stringify(parseExactly(text))).toBe(tight(text));
    }),
    { numRuns: 2000 },
  );
});
