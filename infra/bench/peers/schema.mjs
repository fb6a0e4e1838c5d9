/** The schema of the peers that are written by hand, in the names that Readback has: one document asks them all. */
import DataLoader from 'dataloader';
import { GraphQLScalarType } from 'graphql';
import { newestUsers, postsByAuthors, updateUser, userById, usersByIds } from './store.mjs';

export const typeDefs = /* GraphQL */ `
  scalar DateTime
  type User {
    id: ID!
    username: String!
    email: String!
    firstName: String
    lastName: String
    isActive: Boolean!
    emailVerified: Boolean!
    createdAt: DateTime!
    updatedAt: DateTime!
    posts(first: Int!): PostConnection!
  }
  type Post {
    id: ID!
    title: String!
    body: String!
    publishedAt: DateTime
    createdAt: DateTime!
    updatedAt: DateTime!
    author: User
  }
  type UserConnection {
    nodes: [User!]!
  }
  type PostConnection {
    nodes: [Post!]!
  }
  type Query {
    user(id: ID!): User
    users(first: Int!): UserConnection!
  }
  input UpdateUserInput {
    firstName: String
  }
  type UserPayload {
    user: User!
  }
  type Mutation {
    updateUser(id: ID!, input: UpdateUserInput!): UserPayload!
  }
`;

const DateTime = new GraphQLScalarType({
  name: 'DateTime',
  serialize: (date) => (date instanceof Date ? date.toISOString() : date),
});

const shared = {
  DateTime,
  Mutation: { updateUser: async (_, { id, input }) => ({ user: await updateUser(id, input) }) },
};
const users = async (_, { first }) => ({ nodes: await newestUsers(first) });

/** With a DataLoader for each request in the context, as DataLoader's documentation has it. */
export const resolvers = {
  ...shared,
  Query: { user: (_, { id }, { loaders }) => loaders.users.load(id), users },
  User: { posts: async ({ id }, { first }, { loaders }) => ({ nodes: await loaders.posts(first).load(id) }) },
  Post: { author: ({ authorId }, _, { loaders }) => loaders.users.load(authorId) },
};

export function createLoaders() {
  const posts = new Map();
  return {
    users: new DataLoader(usersByIds),
    posts(first) {
      if (!posts.has(first)) posts.set(first, new DataLoader((ids) => postsByAuthors(ids, first)));
      return posts.get(first);
    },
  };
}

/** With Mercurius's own loaders, which batch nested fields; a field of Query asks for itself. */
export const mercuriusResolvers = { ...shared, Query: { user: (_, { id }) => userById(id), users } };
export const mercuriusLoaders = {
  User: {
    async posts(queries) {
      const pages = await postsByAuthors(
        queries.map(({ obj }) => obj.id),
        queries[0].params.first,
      );
      return pages.map((nodes) => ({ nodes }));
    },
  },
  Post: { author: (queries) => usersByIds(queries.map(({ obj }) => obj.authorId)) },
};
