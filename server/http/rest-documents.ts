import type { Declaration } from '../declare/declaration.ts';

/** What the routes of a table run, each with one field. */
export interface RestDocuments {
  list: string;
  one: string;
  create: string;
  replace: string;
  update: string;
  delete: string;
}

export function documentsOf({ type: { name }, one, many, columns }: Declaration): RestDocuments {
  const fields = columns.filter(({ kind }) => kind !== 'reference').map(({ field }) => field);
  const row = `{ ${fields.join(' ')} }`;
  const change = (verb: string) =>
    `mutation ${verb}${name}($id: ID!, $input: ${verb}${name}Input!) { ${verb.toLowerCase()}${name}(id: $id, input: $input) { ${one} ${row} } }`;
  return {
    list: `query ${name}List($first: Int, $after: String) { ${many}(first: $first, after: $after) { nodes ${row} pageInfo { hasNextPage endCursor } } }`,
    one: `query ${name}($id: ID!) { ${one}(id: $id) ${row} }`,
    create: `mutation Create${name}($input: Create${name}Input!) { create${name}(input: $input) { ${one} ${row} } }`,
    replace: change('Replace'),
    update: change('Update'),
    delete: `mutation Delete${name}($id: ID!) { delete${name}(id: $id) { ${one} ${row} } }`,
  };
}
