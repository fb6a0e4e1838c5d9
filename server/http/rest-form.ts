import { badInput } from '../lib/errors.ts';

const toSnake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const toCamel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** GraphQL's camelCase fields in snake_case. */
export function toRest(row: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [toSnake(name), value]));
}

/** The body's snake_case fields as GraphQL's input. Names that are not snake_case are no fields of ours. */
export function fromRest(body: unknown): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badInput(
      'The body must be a JSON object such as {"first_name": "Ada"}, sent with content-type: application/json.',
    );
  }
  const entries = Object.entries(body).map(([name, value]) => {
    if (toSnake(toCamel(name)) !== name)
      throw badInput(
        `There is no field ${name.slice(0, 50)}: fields are in snake_case, such as first_name.`,
        name.slice(0, 50),
      );
    return [toCamel(name), value];
  });
  return Object.fromEntries(entries);
}
