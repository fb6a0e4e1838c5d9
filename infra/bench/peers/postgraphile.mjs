/**
 * PostGraphile on Node's http, with its preset for new projects and short names. It knows one database: that of
 * POSTGRAPHILE_URL, the replica where it is left out.
 */
import { createServer } from 'node:http';
import { PgSimplifyInflectionPreset } from '@graphile/simplify-inflection';
import { postgraphile } from 'postgraphile';
import { makePgService } from 'postgraphile/adaptors/pg';
import { grafserv } from 'postgraphile/grafserv/node';
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber';
import { jsonParse } from 'postgraphile/@dataplan/json';
import { context, listen as listenTo } from 'postgraphile/grafast';
import { extendSchema, jsonPgSmartTags } from 'postgraphile/utils';
import { listen } from './listen.mjs';
import { CHANNEL, subscriptionTypeDefs } from './subscription.mjs';

const connectionString = process.env.POSTGRAPHILE_URL ?? process.env.REPLICA_URL;

/** The foreign key stands on the primary alone; without one PostGraphile is told of the relation. */
const foreignKey = '(author_id) references users (id)|@fieldName author|@foreignFieldName posts';
const relations = jsonPgSmartTags({ version: 1, config: { class: { posts: { tags: { foreignKey } } } } });

/** Told of a change by NOTIFY, it reads the row for each subscriber: what its documentation shows. */
const changes = extendSchema(({ pgResources }) => ({
  typeDefs: subscriptionTypeDefs.replace('type Subscription', 'extend type Subscription'),
  objects: {
    Subscription: {
      plans: {
        userChanged: {
          subscribePlan: () => listenTo(context().get('pgSubscriber'), CHANNEL, jsonParse),
          plan: ($event) => $event,
        },
      },
    },
    UserChange: {
      plans: {
        operation: ($event) => $event.get('operation'),
        key: ($event) => $event.get('key'),
        user: ($event) => pgResources.users.get({ id: $event.get('key') }),
      },
    },
  },
}));

const pgl = postgraphile({
  extends: [PostGraphileAmberPreset, PgSimplifyInflectionPreset],
  plugins: process.env.POSTGRAPHILE_URL ? [changes] : [relations, changes],
  grafserv: { websockets: true },
  pgServices: [
    makePgService({ connectionString, schemas: ['public'], poolConfig: { max: Number(process.env.POOL_SIZE) } }),
  ],
});
const server = createServer();
await pgl.createServ(grafserv).addTo(server);
await listen(server);
