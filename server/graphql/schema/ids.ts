import { keyIn, type Declaration } from '../../declare/declaration.ts';
import { badInput } from '../../lib/errors.ts';

/** The id, of one column in PostgreSQL's own spelling where that is known: a UUID in lower case, 42 for 042. */
export function parseId(table: Declaration, id: string): string {
  const { key } = table;
  const texts = keyIn(table, id);
  if (texts === undefined) throw badInput(`id must be ${formOf(key)}, got: ${id.slice(0, 50)}`, 'id');
  return key.length === 1 && key[0].form.isOneText ? texts[0]! : id;
}

function formOf(key: Declaration['key']): string {
  const forms = key.map(({ form }) => form.form);
  return forms.length === 1 ? forms[0]! : `a JSON array of texts: ${forms.join(', then ')}`;
}
