/** graphql-ws and the PubSub in memory that its documentation and Apollo's begin with: no database at all. */
import { EventEmitter } from 'node:events';
import { makeExecutableSchema } from '@graphql-tools/schema';
import { PubSub } from 'graphql-subscriptions';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';
import { listen } from './listen.mjs';
import { createPublishing } from './publish.mjs';
import { subscriptionTypeDefs } from './subscription.mjs';

// One listener for each subscriber: past ten, Node takes that for a leak.
const pubsub = new PubSub({ eventEmitter: new EventEmitter().setMaxListeners(0) });
const schema = makeExecutableSchema({
  typeDefs: `${subscriptionTypeDefs}
    type User { id: ID! username: String! firstName: String lastName: String createdAt: String! }
    type Query { ok: Boolean }`,
  resolvers: { Subscription: { userChanged: { subscribe: () => pubsub.asyncIterableIterator('userChanged') } } },
});
// The iterator hands each event on as it is.
const server = createPublishing((event) => void pubsub.publish('userChanged', event));
useServer({ schema }, new WebSocketServer({ server, path: '/graphql' }));
await listen(server);
