/** A number's text, which goes into JSON as it stands (TC39 "JSON.parse source text access"). */
export interface RawNumber {
  readonly rawJSON: string;
}

const json = JSON as unknown as {
  rawJSON: (text: string) => RawNumber;
  isRawJSON: (value: unknown) => value is RawNumber;
  parse: (text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown) => unknown;
};

/** JSON whose numbers keep all digits that they have: one that JavaScript would write otherwise comes as a RawNumber. */
export const parseExactly = (text: string): unknown =>
  json.parse(text, (_, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source ? json.rawJSON(source) : value,
  );

export const isRawNumber = (value: unknown): value is RawNumber => json.isRawJSON(value);

export const rawNumber = (text: string): unknown => (String(Number(text)) === text ? Number(text) : json.rawJSON(text));

/** A number's own digits. */
export const digitsOf = (value: unknown): string => (isRawNumber(value) ? value.rawJSON : String(value));
