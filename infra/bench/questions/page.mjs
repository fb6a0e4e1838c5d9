import { graphql, rest } from './ask.mjs';
import { httpQuestion } from './http.mjs';

const FIELDS = 'username firstName lastName createdAt';
const byHand = graphql(`query ($first: Int!) { users(first: $first) { nodes { id ${FIELDS} } } }`, () => ({
  first: 20,
}));

export const pageAsks = {
  readback: byHand,
  'apollo-express': byHand,
  mercurius: byHand,
  yoga: byHand,
  postgraphile: graphql(
    `query ($first: Int!) { users(first: $first, orderBy: [CREATED_AT_DESC, ROW_ID_DESC]) { nodes { rowId ${FIELDS} } } }`,
    () => ({ first: 20 }),
  ),
  floor: rest(
    'GET',
    () => '/page/20',
    (users) => ({ users }),
  ),
};

export const page = httpQuestion({ id: 'page', title: 'The newest 20 users', asks: pageAsks });
