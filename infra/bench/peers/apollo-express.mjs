/** Apollo Server on Express, as Apollo's documentation sets it up. */
import { createServer } from 'node:http';
import { ApolloServer } from '@apollo/server';
import { expressMiddleware } from '@as-integrations/express5';
import cors from 'cors';
import express from 'express';
import { listen } from './listen.mjs';
import { createLoaders, resolvers, typeDefs } from './schema.mjs';

const app = express();
const server = new ApolloServer({ typeDefs, resolvers });
await server.start();
const context = async () => ({ loaders: createLoaders() });
app.use('/graphql', cors(), express.json(), expressMiddleware(server, { context }));
await listen(createServer(app));
