import { userId } from '../bed/bed.mjs';
import { graphql, rest } from './ask.mjs';
import { httpQuestion } from './http.mjs';

const MANY = 50;
const places = Array.from({ length: MANY }, (_, index) => index);
const idOf = (n, users, place) => userId(((n + place * 613) % users) + 1);
const variables = (n, users) => Object.fromEntries(places.map((place) => [`i${place}`, idOf(n, users, place)]));

const document = (type, argument, fields) => `query (${places.map((place) => `$i${place}: ${type}!`).join(' ')}) {
  ${places.map((place) => `u${place}: user(${argument}: $i${place}) { ${fields} }`).join('\n  ')}
}`;

const byHand = graphql(document('ID', 'id', 'id username firstName lastName createdAt'), variables);

export const aliased = httpQuestion({
  id: 'aliased',
  title: `${MANY} users by their keys in one document`,
  asks: {
    readback: byHand,
    'apollo-express': byHand,
    mercurius: byHand,
    yoga: byHand,
    postgraphile: graphql(document('UUID', 'rowId', 'rowId username firstName lastName createdAt'), variables),
    floor: rest(
      'POST',
      () => '/users',
      (users) => Object.fromEntries(users.map((user, place) => [`u${place}`, user])),
      (n, users) => places.map((place) => idOf(n, users, place)),
    ),
  },
});
