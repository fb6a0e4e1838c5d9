import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { printSchema } from 'graphql';
import { projectRoot } from '../lib/root.ts';
import { buildGraphQLSchema } from '../resolvers/schema.ts';

/** Prints the schema that the code makes into schema/schema.graphql. */
writeFileSync(join(projectRoot, 'schema', 'schema.graphql'), `${printSchema(buildGraphQLSchema())}\n`);
