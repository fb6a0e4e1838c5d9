/** What stands around a value, and a value that is no text: a number, true, null. */
const [AROUND, SHORT] = [4, 5];

/** About how many characters a value has as JSON, without making them; of more than `most` it is not told how many more. */
export function charactersOf(value: unknown, most: number): number {
  if (typeof value === 'string') return value.length + AROUND;
  if (typeof value !== 'object' || value === null) return SHORT;
  let sum = 0;
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length && sum <= most; at++) sum += charactersOf(value[at], most - sum);
    return sum;
  }
  for (const name in value) {
    sum += name.length + AROUND + charactersOf((value as Readonly<Record<string, unknown>>)[name], most - sum);
    if (sum > most) break;
  }
  return sum;
}
