import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { printSchema } from 'graphql';
import { allTables } from '../declare/declaration.ts';
import { projectRoot } from '../lib/root.ts';
import { tellFailure } from './failure.ts';
import { rightsPage } from './rights-page.ts';

/** Writes what the declarations come to, for clients and for people; with --check it compares, and writes nothing. */
try {
  const { buildGraphQLSchema } = await import('../graphql/schema/schema.ts');
  const schema = buildGraphQLSchema();
  const made = {
    'schema/schema.graphql': `${printSchema(schema)}\n`,
    'schema/generated/rights.md': rightsPage(schema, allTables()),
  };
  for (const [path, text] of Object.entries(made)) writeOrCompare(path, text);
} catch (error) {
  process.exitCode = tellFailure(error);
}

function writeOrCompare(path: string, text: string): void {
  const file = join(projectRoot, path);
  if (!process.argv.includes('--check')) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  } else if (!existsSync(file) || readFileSync(file, 'utf8') !== text) {
    console.error(`${path} differs from what the code makes.`);
    process.exitCode = 1;
  }
}
