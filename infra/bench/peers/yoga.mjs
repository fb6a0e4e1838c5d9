/** GraphQL Yoga on Node's http. */
import { createServer } from 'node:http';
import { createSchema, createYoga } from 'graphql-yoga';
import { listen } from './listen.mjs';
import { createLoaders, resolvers, typeDefs } from './schema.mjs';

const yoga = createYoga({
  schema: createSchema({ typeDefs, resolvers }),
  context: () => ({ loaders: createLoaders() }),
});
await listen(createServer((request, response) => void yoga(request, response)));
