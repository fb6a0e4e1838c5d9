import { badInput } from './errors.ts';

/** A number's text, which goes into JSON as it stands (TC39 "JSON.parse source text access"). */
export interface RawNumber {
  readonly rawJSON: string;
}

const json = JSON as unknown as {
  rawJSON: (text: string) => RawNumber;
  isRawJSON: (value: unknown) => value is RawNumber;
  parse: (text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown) => unknown;
};

/** Half of what JavaScript parses so, and writes again: both call themselves for each level. */
export const LEVELS_MAX = 1000;
const TOO_DEEP = `JSON must not be nested more than ${LEVELS_MAX} levels deep.`;

/** Where a value may stand, a number other than a short whole one. A text may look as if it had one, too. */
const LONG = /(?:^|"\s*:|[[,])\s*(?!(?:0|-?[1-9]\d{0,14})(?:[\s,\]}]|$))-?\d/;

/** To look at each value costs five times what parsing does: it is done where a number may need it, or the depth. */
const parse = (text: string): unknown =>
  text.length > 2 * LEVELS_MAX || LONG.test(text) ? parseEach(text) : JSON.parse(text);

const parseEach = (text: string): unknown =>
  json.parse(text, (_, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source ? json.rawJSON(source) : value,
  );

/**
 * A client's JSON, whose numbers keep all digits that they have: one that JavaScript would write otherwise comes as a
 * RawNumber. @throws ClientError BAD_USER_INPUT where it is nested too deep.
 */
export function parseExactly(text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw error instanceof RangeError ? badInput(TOO_DEEP) : error;
  }
}

/** A database's. What is nested too deep there says so in its place: a row that could not be read would stop the feed. */
export function readExactly(text: string, levels = LEVELS_MAX): unknown {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof RangeError) return parse(cut(text, levels));
    throw error;
  }
}

const BRACKETS = /"[^"\\]*(?:\\.[^"\\]*)*"|[[\]{}]/g;
const DEEPER = `"(nested more than ${LEVELS_MAX} levels deep: not shown)"`;

/** The brackets of JSON, and how many are open around each. */
function* bracketsOf(text: string): Iterable<{ at: number; level: number; opens: boolean }> {
  let level = 0;
  for (const { 0: piece, index: at } of text.matchAll(BRACKETS)) {
    if (piece === '[' || piece === '{') yield { at, level: level++, opens: true };
    else if (piece === ']' || piece === '}') yield { at, level: --level, opens: false };
  }
}

function cut(text: string, levels: number): string {
  const parts: string[] = [];
  let from = 0;
  for (const { at, level, opens } of bracketsOf(text)) {
    if (level !== levels) continue;
    if (opens) parts.push(text.slice(from, at), DEEPER);
    else from = at + 1;
  }
  return parts.join('') + text.slice(from);
}

export function isTooDeep(text: string): boolean {
  for (const { level } of bracketsOf(text)) if (level >= LEVELS_MAX) return true;
  return false;
}

export const isRawNumber = (value: unknown): value is RawNumber => json.isRawJSON(value);

export const rawNumber = (text: string): unknown => (String(Number(text)) === text ? Number(text) : json.rawJSON(text));

/** A number's own digits. */
export const digitsOf = (value: unknown): string => (isRawNumber(value) ? value.rawJSON : String(value));
