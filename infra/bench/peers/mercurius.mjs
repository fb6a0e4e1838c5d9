/** Fastify and Mercurius, with the just-in-time compiler from the first request on. */
import fastify from 'fastify';
import mercurius from 'mercurius';
import { mercuriusLoaders as loaders, mercuriusResolvers as resolvers, typeDefs as schema } from './schema.mjs';

const app = fastify();
await app.register(mercurius, { schema, resolvers, loaders, jit: 1 });
await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });
console.log('listening');
process.once('SIGTERM', () => process.exit());
