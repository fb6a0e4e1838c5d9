import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { printSchema } from 'graphql';
import { projectRoot } from '../lib/root.ts';
import { tellFailure } from './failure.ts';

/** Prints the schema that the code makes into schema/schema.graphql; with --check it compares, and writes nothing. */
const file = join(projectRoot, 'schema', 'schema.graphql');
try {
  const { buildGraphQLSchema } = await import('../graphql/schema/schema.ts');
  const printed = `${printSchema(buildGraphQLSchema())}\n`;
  if (!process.argv.includes('--check')) writeFileSync(file, printed);
  else if (readFileSync(file, 'utf8') !== printed) {
    console.error('schema/schema.graphql differs from what the code makes.');
    process.exitCode = 1;
  }
} catch (error) {
  process.exitCode = tellFailure(error);
}
