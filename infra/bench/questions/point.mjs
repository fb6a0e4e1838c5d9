import { userId } from '../bed/bed.mjs';
import { graphql, rest } from './ask.mjs';
import { httpQuestion } from './http.mjs';

const FIELDS = 'id username firstName lastName createdAt';
const byHand = graphql(`query ($id: ID!) { user(id: $id) { ${FIELDS} } }`, (n) => ({ id: userId(n) }));

const fromSeed = ({ data: { id, username, first_name, last_name, created_at } }) => ({
  user: { id, username, firstName: first_name, lastName: last_name, createdAt: created_at },
});

export const pointAsks = {
  readback: byHand,
  seed: rest('GET', (n) => `/api/users/${userId(n)}`, fromSeed),
  'apollo-express': byHand,
  mercurius: byHand,
  yoga: byHand,
  postgraphile: graphql(
    'query ($id: UUID!) { user(rowId: $id) { rowId username firstName lastName createdAt } }',
    (n) => ({ id: userId(n) }),
  ),
  floor: rest(
    'GET',
    (n) => `/users/${userId(n)}`,
    (user) => ({ user }),
  ),
};

export const point = httpQuestion({ id: 'point', title: 'One user by its key', asks: pointAsks });
