/**
 * Apollo Server on Express, as Apollo's documentation sets it up; subscriptions over graphql-ws, fed by NOTIFY on the
 * replica through graphql-postgres-subscriptions.
 */
import { createServer } from 'node:http';
import { ApolloServer } from '@apollo/server';
import { expressMiddleware } from '@as-integrations/express5';
import { makeExecutableSchema } from '@graphql-tools/schema';
import cors from 'cors';
import express from 'express';
import { PostgresPubSub } from 'graphql-postgres-subscriptions';
import { useServer } from 'graphql-ws/use/ws';
import pg from 'pg';
import { WebSocketServer } from 'ws';
import { listen } from './listen.mjs';
import { createLoaders, resolvers, typeDefs } from './schema.mjs';
import { CHANNEL, subscriptionTypeDefs } from './subscription.mjs';

const client = new pg.Client({ connectionString: process.env.REPLICA_URL });
await client.connect();
const pubsub = new PostgresPubSub({ client });
// One listener for each subscriber: past ten, Node takes that for a leak.
pubsub.ee.setMaxListeners(0);

const Subscription = {
  userChanged: { subscribe: () => pubsub.asyncIterator(CHANNEL), resolve: (change) => change },
};
const schema = makeExecutableSchema({
  typeDefs: [typeDefs, subscriptionTypeDefs],
  resolvers: { ...resolvers, Subscription },
});

const app = express();
const httpServer = createServer(app);
useServer({ schema }, new WebSocketServer({ server: httpServer, path: '/graphql' }));
const server = new ApolloServer({ schema });
await server.start();
const context = async () => ({ loaders: createLoaders() });
app.use('/graphql', cors(), express.json(), expressMiddleware(server, { context }));
await listen(httpServer);
