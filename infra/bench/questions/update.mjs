import { userId } from '../bed/bed.mjs';
import { graphql, rest } from './ask.mjs';
import { httpQuestion } from './http.mjs';

const variables = (n) => ({ id: userId(n), input: { firstName: `Name${n}` } });
const byHand = graphql(
  'mutation ($id: ID!, $input: UpdateUserInput!) { updateUser(id: $id, input: $input) { user { id firstName } } }',
  variables,
);

export const updateAsks = {
  readback: byHand,
  seed: rest(
    'PATCH',
    (n) => `/api/users/${userId(n)}`,
    ({ data: { id, first_name } }) => ({ updateUser: { user: { id, firstName: first_name } } }),
    (n) => ({ first_name: `Name${n}` }),
  ),
  'apollo-express': byHand,
  mercurius: byHand,
  yoga: byHand,
  postgraphile: graphql(
    'mutation ($id: UUID!, $patch: UserPatch!) { updateUser(input: { rowId: $id, patch: $patch }) { user { rowId firstName } } }',
    (n) => ({ id: userId(n), patch: { firstName: `Name${n}` } }),
  ),
  floor: rest(
    'PATCH',
    (n) => `/users/${userId(n)}`,
    (user) => ({ updateUser: { user } }),
    (n) => ({ firstName: `Name${n}` }),
  ),
};

/** PostGraphile knows one database: for writes, that is the primary. */
export const update = httpQuestion({
  id: 'update',
  title: 'Changing a user on the primary',
  asks: updateAsks,
  as: 'administrator',
  settingsOf: (name, { urls }) => (name === 'postgraphile' ? { POSTGRAPHILE_URL: urls.primary.adminUrl } : {}),
});
