import { UUID } from '../../declare/rules.ts';
import { badInput } from '../../lib/errors.ts';

/** A UUID in PostgreSQL's own form: lower case. */
export function parseId(text: string): string {
  if (UUID.test(text)) return text.toLowerCase();
  throw badInput(`id must be a UUID such as 3fa85f64-5717-4562-b3fc-2c963f66afa6, got: ${text.slice(0, 50)}`, 'id');
}
