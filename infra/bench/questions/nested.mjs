import { graphql, rest } from './ask.mjs';
import { httpQuestion } from './http.mjs';

const byHand = graphql(
  `
    query ($users: Int!, $posts: Int!) {
      users(first: $users) {
        nodes {
          id
          username
          posts(first: $posts) {
            nodes {
              id
              title
              author {
                id
                username
              }
            }
          }
        }
      }
    }
  `,
  () => ({ users: 20, posts: 5 }),
);

export const nested = httpQuestion({
  id: 'nested',
  title: 'The newest 20 users, 5 posts of each, and their authors',
  asks: {
    readback: byHand,
    'apollo-express': byHand,
    mercurius: byHand,
    yoga: byHand,
    postgraphile: graphql(
      `
        query ($users: Int!, $posts: Int!) {
          users(first: $users, orderBy: [CREATED_AT_DESC, ROW_ID_DESC]) {
            nodes {
              rowId
              username
              posts(first: $posts, orderBy: [CREATED_AT_DESC, ROW_ID_DESC]) {
                nodes {
                  rowId
                  title
                  author {
                    rowId
                    username
                  }
                }
              }
            }
          }
        }
      `,
      () => ({ users: 20, posts: 5 }),
    ),
    floor: rest(
      'GET',
      () => '/nested/20',
      (users) => ({ users }),
    ),
  },
});
