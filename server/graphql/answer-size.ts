import { isRawNumber } from '../lib/exact-json.ts';

/** What stands around a value, and a value that is no text: a number, true, null. */
const [AROUND, SHORT] = [4, 5];

/** About how many characters a value has as JSON, without making them; of more than `most` it is not told how many more. */
export function charactersOf(value: unknown, most: number): number {
  const open: unknown[] = [value];
  let sum = 0;
  while (open.length > 0 && sum <= most) {
    const one = open.pop();
    if (typeof one === 'string') sum += one.length + AROUND;
    else if (typeof one !== 'object' || one === null) sum += SHORT;
    else if (Array.isArray(one)) for (const item of one as unknown[]) open.push(item);
    else if (isRawNumber(one)) sum += one.rawJSON.length;
    else
      for (const name in one) {
        sum += name.length + AROUND;
        open.push((one as Readonly<Record<string, unknown>>)[name]);
      }
  }
  return sum;
}
