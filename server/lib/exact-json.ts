/** A number's text, which goes into JSON as it stands (TC39 "JSON.parse source text access"). */
export interface RawNumber {
  readonly rawJSON: string;
}

const json = JSON as unknown as {
  rawJSON: (text: string) => RawNumber;
  isRawJSON: (value: unknown) => value is RawNumber;
  parse: (text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown) => unknown;
};

/** Where a value may stand, a number other than a short whole one. A text may look as if it had one, too. */
const LONG = /(?:^|"\s*:|[[,])\s*(?!(?:0|-?[1-9]\d{0,14})(?:[\s,\]}]|$))-?\d/;

/**
 * JSON whose numbers keep all digits that they have: one that JavaScript would write otherwise comes as a RawNumber. To look at
 * each value costs five times what parsing does, so that it is looked first whether there is a number which needs it.
 */
export const parseExactly = (text: string): unknown => (LONG.test(text) ? parseEach(text) : JSON.parse(text));

const parseEach = (text: string): unknown =>
  json.parse(text, (_, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source ? json.rawJSON(source) : value,
  );

export const isRawNumber = (value: unknown): value is RawNumber => json.isRawJSON(value);

export const rawNumber = (text: string): unknown => (String(Number(text)) === text ? Number(text) : json.rawJSON(text));

/** A number's own digits. */
export const digitsOf = (value: unknown): string => (isRawNumber(value) ? value.rawJSON : String(value));
