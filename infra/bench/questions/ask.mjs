/** How a question is put to a variant: the request, and what of the answer is compared. */

const JSON_TYPE = { 'content-type': 'application/json' };

export const graphql = (query, variables) => ({
  request: (n, users) => ({
    method: 'POST',
    path: '/graphql',
    headers: JSON_TYPE,
    body: JSON.stringify({ query, variables: variables(n, users) }),
  }),
  rows: ({ data, errors }) => (errors ? { errors } : data),
});

export const rest = (method, path, rows, body) => ({
  request: (n, users) => ({
    method,
    path: path(n),
    headers: body ? JSON_TYPE : {},
    ...(body && { body: JSON.stringify(body(n, users)) }),
  }),
  rows,
});

export async function send(url, headers, { method, path, body, headers: own }) {
  const response = await fetch(url + path, { method, headers: { ...headers, ...own }, ...(body && { body }) });
  const text = await response.text();
  if (!response.ok)
    throw new Error(`${method} ${url}${path} was answered with ${response.status}: ${text.slice(0, 500)}`);
  return JSON.parse(text);
}

/**
 * The same answer in one form: PostGraphile's rowId is an id, pages are their nodes, moments are milliseconds, and keys
 * are in the order of the alphabet.
 */
export function canonical(value) {
  if (Array.isArray(value)) return value.map(canonical);
  if (value === null || typeof value !== 'object') return value;
  if (value.nodes) return canonical(value.nodes);
  const pairs = Object.entries(value).map(([key, inner]) => {
    if (key === 'rowId') return ['id', inner];
    return [key, key === 'createdAt' ? new Date(inner).getTime() : canonical(inner)];
  });
  return Object.fromEntries(pairs.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
