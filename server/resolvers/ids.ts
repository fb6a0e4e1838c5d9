import { badInput } from '../lib/errors.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** A UUID in PostgreSQL's own form: lower case. */
export function parseId(text: string): string {
  const id = text.toLowerCase();
  if (UUID.test(id)) return id;
  throw badInput(`id must be a UUID such as 3fa85f64-5717-4562-b3fc-2c963f66afa6, got: ${text.slice(0, 50)}`, 'id');
}
